/* Says when its initialiser runs, and counts in memory of its own: every instance starts at nothing. */
#include "plugin.h"

static int runs;

/* Runs while the library is being loaded, once for every instance of it, before the host can ask anything. */
__attribute__((constructor)) static void announce(void)
{
    puts("visits: my initialiser runs");
    fflush(stdout);
}

static void run(const char *input, struct page *page)
{
    (void)input;
    runs++;
    put(page, "this instance was called %d time%s\n", runs, runs == 1 ? "" : "s");
}

static const struct plugin plugin = {
    .abi = PLUGIN_ABI,
    .summary = "counts its own calls",
    .sample = "",
    .run = run,
};

const struct plugin *plugin_entry(void)
{
    return &plugin;
}
