/* A plugin to be edited while its host runs: change the words and call again. */
static int calls;

const char *words(void)
{
    calls++;
    return "edit me";
}

/* Of this instance: a new one starts at nothing, and the old one keeps its own. */
int called(void)
{
    return calls;
}
