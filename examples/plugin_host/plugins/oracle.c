/* Compiles and loads, but its initialiser fails every time: that is no reason to compile it again. */
#include "plugin.h"

static int start(struct page *why)
{
    put(why, "the stars are not right");
    return 1;
}

static void run(const char *input, struct page *page)
{
    (void)input;
    put(page, "nobody gets this far\n");
}

static const struct plugin plugin = {
    .abi = PLUGIN_ABI,
    .summary = "foretells the future, but not today",
    .sample = "tomorrow",
    .start = start,
    .run = run,
};

const struct plugin *plugin_entry(void)
{
    return &plugin;
}
