/*
 * A host in C: compiles its C plugins the first time and never again, loads them with dlopen and calls each.
 *
 *     host PLUGIN_DIR [STORE_DIR]
 *
 * The plugins are those of examples/plugin_host, each a file NAME.c with the interface of plugin.h.
 */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <dlfcn.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <plugcache.h>

extern char **environ;

/* As plugin.h has them. */
#define PLUGIN_ABI 1u
struct page {
    char *text;
    size_t room;
    size_t used;
};
struct plugin {
    uint32_t abi;
    const char *summary;
    const char *sample;
    int (*start)(struct page *why);
    void (*run)(const char *input, struct page *page);
};
typedef const struct plugin *entry_fn(void);

/* What the callbacks know of the plugin that they are called for, and what they leave. */
struct job {
    const char *source;
    void *library;
    const struct plugin *plugin;
};

static const char *const FLAGS[] = {"-O2", "-shared", "-fPIC", "-fvisibility=hidden"};
enum { FLAG_COUNT = sizeof FLAGS / sizeof *FLAGS };

static int compilers_started;

static int failed(const char *what)
{
    fprintf(stderr, "host: %s: %s\n", what, plugcache_last_error_text());
    return 1;
}

/* Compiles: the output goes where the library says, and the compiler's report of what it read goes back to it. */
static int compile(plugcache_build *build, void *user)
{
    const struct job *job = user;
    const char *dir = plugcache_build_dir(build), *output = plugcache_build_output(build, "plugin.so");
    const char *argv[FLAG_COUNT + 8] = {"cc"};
    char report[4096];
    size_t argc = 1;
    pid_t child;
    int status = -1;

    if (!dir || !output || snprintf(report, sizeof report, "%s/plugin.d", dir) >= (int)sizeof report)
        return 1;
    for (size_t i = 0; i < FLAG_COUNT; i++)
        argv[argc++] = FLAGS[i];
    argv[argc++] = "-MD";
    argv[argc++] = "-MF";
    argv[argc++] = report;
    argv[argc++] = "-o";
    argv[argc++] = output;
    argv[argc++] = job->source;
    compilers_started++;
    if (posix_spawnp(&child, "cc", NULL, NULL, (char *const *)argv, environ) != 0 ||
        waitpid(child, &status, 0) != child || status != 0) {
        plugcache_build_fail(build, "the compiler failed");
        return 1;
    }
    /* Without its headers in the key an old plugin could be taken for a new one: no report is a failure. */
    return plugcache_build_depfile(build, report) == PLUGCACHE_CODE_OK ? 0 : 1;
}

/* Loads. 1 says that the file is to blame: the library then has it built anew, once. */
static int load(const plugcache_artifact *artifact, void *user)
{
    struct job *job = user;
    union {
        void *symbol;
        entry_fn *entry;
    } found;

    job->library = dlopen(plugcache_artifact_path(artifact), RTLD_NOW | RTLD_LOCAL);
    found.symbol = job->library ? dlsym(job->library, "plugin_entry") : NULL;
    job->plugin = found.symbol ? found.entry() : NULL;
    if (job->plugin && job->plugin->abi == PLUGIN_ABI)
        return 0;
    if (job->library)
        dlclose(job->library);
    job->library = NULL;
    return 1;
}

static void call(const struct plugin *plugin)
{
    static char text[16 * 1024];
    struct page page = {text, sizeof text, 0};

    text[0] = 0;
    if (plugin->start && plugin->start(&page) != 0) {
        printf("  does not start: %s\n", text);
        return;
    }
    page.used = 0;
    plugin->run(plugin->sample, &page);
    printf("%.*s", (int)page.used, text);
}

/* One plugin, from its source to its output. */
static int use(const plugcache_store *store, const plugcache_toolchain *cc, const char *source)
{
    struct job job = {source, NULL, NULL};
    plugcache_sources_builder *builder =
        plugcache_sources_builder_new("c-host/abi-1", cc, FLAGS, FLAG_COUNT);
    plugcache_sources *sources = NULL;
    plugcache_artifact *artifact = NULL;

    if (builder && plugcache_sources_builder_file(builder, source) == PLUGCACHE_CODE_OK)
        sources = plugcache_sources_digest(builder, store);
    if (sources)
        artifact = plugcache_load_or_build(store, sources, compile, load, &job);
    if (artifact) {
        printf("%s: %s (%s)\n", plugcache_artifact_label(artifact), job.plugin->summary,
               plugcache_artifact_how_text(artifact));
        call(job.plugin);
        /* Code first, then the lease on its file. */
        dlclose(job.library);
    }
    plugcache_artifact_release(artifact);
    plugcache_sources_free(sources);
    plugcache_sources_builder_free(builder);
    return artifact ? 0 : failed(source);
}

static int use_all(const plugcache_store *store, const plugcache_toolchain *cc, const char *dir)
{
    struct dirent **names;
    int count = scandir(dir, &names, NULL, alphasort), bad = 0;

    if (count < 0) {
        perror(dir);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        const char *dot = strrchr(names[i]->d_name, '.');
        char path[4096];
        if (dot && strcmp(dot, ".c") == 0) {
            snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name);
            bad |= use(store, cc, path);
        }
        free(names[i]);
    }
    free(names);
    return bad;
}

int main(int argc, char **argv)
{
    plugcache_config *config = NULL;
    plugcache_store *store;
    plugcache_toolchain *cc;
    plugcache_stats stats;
    int bad = 1;

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: host PLUGIN_DIR [STORE_DIR]\n");
        return 2;
    }
    if (argc == 3)
        config = plugcache_config_new(argv[2]);
    /* Neither fails: without a store the plugins are compiled each time, and that is all. */
    store = config ? plugcache_open_or_disabled(config) : plugcache_open_for_app("plugin-host-c");
    cc = plugcache_toolchain_of_program("cc");
    if (!cc)
        failed("cc");
    else
        bad = use_all(store, cc, argv[1]);
    if (plugcache_stats_get(store, &stats) == PLUGCACHE_CODE_OK)
        printf("%llu hit, %llu ms saved\n", (unsigned long long)stats.hits, (unsigned long long)stats.saved_ms);
    printf("compilers started: %d\nstore: %s\n", compilers_started, plugcache_dir(store));
    plugcache_toolchain_free(cc);
    plugcache_close(store);
    plugcache_config_free(config);
    return bad;
}
