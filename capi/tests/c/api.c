/* Every function once as it is meant, and with NULL; ownership and lifetimes as the header states them. */
#include <plugcache.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "line %d: %s\nlast error %d: %s\n", __LINE__, #condition, \
                    (int)plugcache_last_error_code(), plugcache_last_error_text()); \
            exit(1); \
        } \
    } while (0)
#define MUST_FAIL(condition, code) \
    do { \
        MUST(!(condition)); \
        MUST(plugcache_last_error_code() == (code)); \
        MUST(plugcache_last_error_text()[0] != 0); \
    } while (0)

static int is_text(plugcache_bytes *bytes, const char *text)
{
    int same;
    MUST(bytes);
    same = strcmp((const char *)plugcache_bytes_data(bytes), text) == 0 && plugcache_bytes_len(bytes) == strlen(text);
    plugcache_bytes_free(bytes);
    return same;
}

static const uint8_t *raw(const char *text)
{
    return (const uint8_t *)text;
}

static int build_good(plugcache_build *build, void *user)
{
    const char *first = plugcache_build_output(build, "first"), *again;
    FILE *file;
    ++*(int *)user;
    MUST(plugcache_build_dir(build) && first);
    again = plugcache_build_output(build, "first");
    MUST(strcmp(first, again) == 0 && strstr(first, plugcache_build_dir(build)) == first);
    file = fopen(first, "w");
    MUST(file && fputs("one", file) >= 0 && fclose(file) == 0);
    MUST(plugcache_build_write(build, "second", raw("two"), 3) == PLUGCACHE_CODE_OK);
    MUST(plugcache_build_write_packed(build, "third", raw("three"), 5) == PLUGCACHE_CODE_OK);
    MUST(plugcache_build_also_read(build, first) == PLUGCACHE_CODE_OK);
    MUST(plugcache_build_depfile(build, "/none") == PLUGCACHE_CODE_IO);
    MUST(plugcache_build_write(NULL, "x", NULL, 0) == PLUGCACHE_CODE_ARGUMENT);
    MUST(plugcache_build_write(build, "x", NULL, 1) == PLUGCACHE_CODE_ARGUMENT);
    MUST(plugcache_build_output(build, NULL) == NULL && plugcache_build_output(NULL, "x") == NULL);
    return 0;
}

static int build_bad(plugcache_build *build, void *user)
{
    (void)user;
    MUST(plugcache_build_fail(build, "no compiler today") == PLUGCACHE_CODE_OK);
    return 3;
}

/* The path of an output in a place of its own, and what the build leaves there. */
static int build_elsewhere(plugcache_build *build, void *user)
{
    FILE *file = fopen(user, "w");
    MUST(file && fputs("elsewhere", file) >= 0 && fclose(file) == 0);
    MUST(plugcache_build_output_at(build, "out", NULL) == PLUGCACHE_CODE_ARGUMENT);
    return plugcache_build_output_at(build, "out", user) == PLUGCACHE_CODE_OK ? 0 : 1;
}

static int build_nothing(plugcache_build *build, void *user)
{
    (void)build;
    (void)user;
    return 0;
}

static int load_good(const plugcache_artifact *artifact, void *user)
{
    (void)user;
    return plugcache_artifact_path(artifact) ? 0 : 2;
}

static int load_never(const plugcache_artifact *artifact, void *user)
{
    (void)artifact;
    (void)user;
    return 1;
}

static int load_plugin_fails(const plugcache_artifact *artifact, void *user)
{
    (void)artifact;
    (void)user;
    return 2;
}

static plugcache_sources *sources_of(const plugcache_store *store, const char *value)
{
    static const char *const options[] = {"-O2", "-g"};
    plugcache_toolchain *value_of = plugcache_toolchain_of_value("cc", raw("1"), 1);
    plugcache_toolchain *none = plugcache_toolchain_none(), *both = plugcache_toolchain_and(value_of, none);
    plugcache_sources_builder *builder = plugcache_sources_builder_new("test/1", both, options, 2);
    plugcache_sources *sources;
    MUST(builder);
    /* The builder needs them no more. */
    plugcache_toolchain_free(value_of);
    plugcache_toolchain_free(none);
    plugcache_toolchain_free(both);
    MUST(plugcache_sources_builder_bytes(builder, "a.c", raw("int a;"), 6) == PLUGCACHE_CODE_OK);
    MUST(plugcache_sources_builder_bytes(builder, "empty.c", NULL, 0) == PLUGCACHE_CODE_OK);
    MUST(plugcache_sources_builder_context(builder, "value", raw(value), strlen(value)) == PLUGCACHE_CODE_OK);
    MUST(plugcache_sources_builder_env(builder, "PATH") == PLUGCACHE_CODE_OK);
    MUST(plugcache_sources_builder_label(builder, "labelled") == PLUGCACHE_CODE_OK);
    sources = plugcache_sources_digest(builder, store);
    plugcache_sources_builder_free(builder);
    MUST(sources);
    return sources;
}

static void look_at(const plugcache_store *store, const plugcache_artifact *artifact, const char *copy)
{
    plugcache_artifact *other = plugcache_artifact_clone(artifact);
    const char *path = plugcache_artifact_path(artifact);
    plugcache_sealed *one, *two;
    plugcache_bytes *bytes;
    FILE *file;
    char text[8] = "";

    MUST(strcmp(plugcache_artifact_label(artifact), "labelled") == 0);
    MUST(plugcache_artifact_output_count(artifact) == 3 && plugcache_artifact_cost_ms(artifact) < 600000);
    MUST(plugcache_artifact_output_index(artifact, "second") == 1);
    MUST(plugcache_artifact_output_index(artifact, "fourth") == -1);
    MUST(strcmp(plugcache_artifact_output_name(artifact, 2), "third") == 0);
    MUST(plugcache_artifact_output_len(artifact, 2) == 5);
    MUST(path == plugcache_artifact_output_path(artifact, 0) && path[0] == '/');
    /* A packed one gets a file when it is asked for. */
    MUST((file = fopen(plugcache_artifact_output_path(artifact, 2), "r")) != NULL);
    MUST(fread(text, 1, 7, file) == 5 && strcmp(text, "three") == 0 && fclose(file) == 0);
    MUST(is_text(plugcache_artifact_bytes(artifact, 1), "two"));
    MUST_FAIL(plugcache_artifact_bytes(artifact, 3), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_artifact_output_path(artifact, 3), PLUGCACHE_CODE_ARGUMENT);
    MUST(plugcache_artifact_copy_to(artifact, 0, copy) == PLUGCACHE_CODE_OK);
    MUST(plugcache_artifact_copy_to(artifact, 0, "/none/none") == PLUGCACHE_CODE_IO);

    one = plugcache_artifact_sealed(artifact, 0);
    two = plugcache_artifact_sealed(artifact, 0);
    MUST(one && two && strcmp(plugcache_sealed_path(one), plugcache_sealed_path(two)) != 0);
    MUST(plugcache_sealed_len(one) == 3 && memcmp(plugcache_sealed_data(one), "one", 3) == 0);
    plugcache_sealed_free(one);
    plugcache_sealed_free(two);

    /* Objects outlive those that they were made from, in any order. */
    bytes = plugcache_artifact_bytes(other, 0);
    MUST(plugcache_artifact_how(other) == plugcache_artifact_how(artifact));
    MUST(plugcache_clear(store, NULL) == PLUGCACHE_CODE_OK);
    MUST((file = fopen(plugcache_artifact_path(other), "r")) != NULL && fclose(file) == 0);
    plugcache_artifact_release(other);
    MUST(is_text(bytes, "one"));
}

static void null_is_told_and_nothing_happens(void)
{
    MUST_FAIL(plugcache_config_new(NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_config_for_app(NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_config_for_app("a/b"), PLUGCACHE_CODE_OPEN);
    MUST(plugcache_config_set(NULL, "mode", "off") == PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_open(NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_open_or_disabled(NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_open_for_app(NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST(plugcache_status(NULL) == PLUGCACHE_STATE_DISABLED);
    MUST_FAIL(plugcache_status_text(NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_dir(NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_find(NULL, NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST(plugcache_add(NULL, NULL, NULL) == PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_get_or_build(NULL, NULL, NULL, NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_load_or_build(NULL, NULL, NULL, NULL, NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_reject(NULL, NULL, NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST(plugcache_forget(NULL, NULL, NULL) == PLUGCACHE_CODE_ARGUMENT);
    MUST(plugcache_clear(NULL, NULL) == PLUGCACHE_CODE_ARGUMENT);
    MUST(plugcache_sync(NULL) == PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_explain(NULL, NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_explain_json(NULL, NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST(plugcache_stats_get(NULL, NULL) == PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_stats_json(NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_toolchain_of_program(NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_toolchain_of_program("no-such-compiler"), PLUGCACHE_CODE_TOOLCHAIN);
    MUST_FAIL(plugcache_toolchain_of_files("x", NULL, 1), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_toolchain_of_value("\xff", NULL, 0), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_toolchain_and(NULL, NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_sources_builder_new("x", NULL, NULL, 0), PLUGCACHE_CODE_ARGUMENT);
    MUST(plugcache_sources_builder_file(NULL, "x") == PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_sources_digest(NULL, NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_sources_hex(NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST(plugcache_outputs_bytes(NULL, "x", NULL, 0) == PLUGCACHE_CODE_ARGUMENT);
    MUST(plugcache_outputs_cost_ms(NULL, 1) == PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_artifact_clone(NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_artifact_path(NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_artifact_output_count(NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_sealed_path(NULL), PLUGCACHE_CODE_ARGUMENT);
    MUST_FAIL(plugcache_bytes_data(NULL), PLUGCACHE_CODE_ARGUMENT);
    plugcache_config_free(NULL);
    plugcache_close(NULL);
    plugcache_toolchain_free(NULL);
    plugcache_sources_builder_free(NULL);
    plugcache_sources_free(NULL);
    plugcache_outputs_free(NULL);
    plugcache_artifact_release(NULL);
    plugcache_sealed_free(NULL);
    plugcache_bytes_free(NULL);
}

static void an_output_in_a_place_of_its_own(const plugcache_store *store, char *file)
{
    plugcache_sources *sources = sources_of(store, "elsewhere");
    plugcache_artifact *artifact = plugcache_get_or_build(store, sources, build_elsewhere, file);
    MUST(artifact && plugcache_artifact_how(artifact) == PLUGCACHE_HOW_BUILT);
    MUST(strcmp(plugcache_artifact_path(artifact), file) != 0);
    MUST(is_text(plugcache_artifact_bytes(artifact, 0), "elsewhere"));
    plugcache_artifact_release(artifact);
    plugcache_sources_free(sources);
}

static void comparing(const char *dir)
{
    plugcache_config *config = plugcache_config_new(dir);
    plugcache_store *normal, *comparing;
    plugcache_sources *sources = sources_of(NULL, "compared");
    plugcache_outputs *one = plugcache_outputs_new(), *two = plugcache_outputs_new();

    MUST(plugcache_config_set(config, "exec", "independent") == PLUGCACHE_CODE_OK);
    MUST((normal = plugcache_open(config)) != NULL);
    MUST(plugcache_config_set(config, "mode", "compare") == PLUGCACHE_CODE_OK);
    MUST((comparing = plugcache_open(config)) != NULL);
    MUST(plugcache_outputs_bytes(one, "out", raw("1"), 1) == PLUGCACHE_CODE_OK);
    MUST(plugcache_outputs_bytes(two, "out", raw("2"), 1) == PLUGCACHE_CODE_OK);
    MUST(plugcache_add(normal, sources, one) == PLUGCACHE_CODE_OK);
    MUST(plugcache_add(comparing, sources, one) == PLUGCACHE_CODE_OK);
    MUST(plugcache_add(comparing, sources, two) == PLUGCACHE_CODE_DIFFERS);
    MUST(strstr(plugcache_last_error_text(), "out") != NULL);
    plugcache_outputs_free(one);
    plugcache_outputs_free(two);
    plugcache_sources_free(sources);
    plugcache_close(normal);
    plugcache_close(comparing);
    plugcache_config_free(config);
}

static void trouble_of_builds_and_loads(const plugcache_store *store)
{
    plugcache_sources *sources = sources_of(store, "trouble");
    plugcache_artifact *artifact;
    int builds = 0;

    MUST_FAIL(plugcache_get_or_build(store, sources, build_bad, NULL), PLUGCACHE_CODE_BUILD);
    MUST(strcmp(plugcache_last_error_text(), "no compiler today") == 0);
    MUST_FAIL(plugcache_get_or_build(store, sources, build_nothing, NULL), PLUGCACHE_CODE_NO_OUTPUT);
    MUST_FAIL(plugcache_load_or_build(store, sources, build_good, load_never, &builds), PLUGCACHE_CODE_LOAD);
    MUST(builds == 1);
    MUST_FAIL(plugcache_load_or_build(store, sources, build_good, load_plugin_fails, &builds), PLUGCACHE_CODE_LOAD);
    MUST(builds == 2);
    /* The plugin's own failure keeps the entry. */
    artifact = plugcache_load_or_build(store, sources, build_good, load_good, &builds);
    MUST(artifact && builds == 2 && plugcache_artifact_how(artifact) == PLUGCACHE_HOW_HIT);
    MUST(plugcache_reject(store, artifact, "it does not load"));
    MUST(!plugcache_reject(store, artifact, "again"));
    plugcache_artifact_release(artifact);
    MUST_FAIL(plugcache_find(store, sources), PLUGCACHE_CODE_MISS);
    plugcache_sources_free(sources);
}

static void adding(const plugcache_store *store, const char *file)
{
    plugcache_sources *sources = sources_of(store, "added");
    plugcache_outputs *outputs = plugcache_outputs_new();
    plugcache_artifact *artifact;
    size_t dropped = 0;

    MUST(plugcache_add(store, sources, outputs) == PLUGCACHE_CODE_NO_OUTPUT);
    MUST(plugcache_outputs_cost_ms(outputs, 5) == PLUGCACHE_CODE_ARGUMENT);
    MUST(plugcache_outputs_file(outputs, "file", file) == PLUGCACHE_CODE_OK);
    MUST(plugcache_outputs_bytes(outputs, "bytes", raw("two"), 3) == PLUGCACHE_CODE_OK);
    MUST(plugcache_outputs_packed(outputs, "packed", raw("three"), 5) == PLUGCACHE_CODE_OK);
    MUST(plugcache_outputs_cost_ms(outputs, 5) == PLUGCACHE_CODE_OK);
    MUST(plugcache_add(store, sources, outputs) == PLUGCACHE_CODE_OK);
    MUST(plugcache_add(store, sources, outputs) == PLUGCACHE_CODE_OK);
    plugcache_outputs_free(outputs);
    MUST((artifact = plugcache_find(store, sources)) != NULL);
    MUST(plugcache_artifact_how(artifact) == PLUGCACHE_HOW_HIT && plugcache_artifact_cost_ms(artifact) == 5);
    MUST(strcmp(plugcache_artifact_how_text(artifact), "hit") == 0);
    MUST(is_text(plugcache_explain(store, sources), "it is stored: a find hits"));
    MUST(plugcache_forget(store, sources, &dropped) == PLUGCACHE_CODE_OK && dropped == 1);
    MUST(is_text(plugcache_artifact_bytes(artifact, 0), "one"));
    plugcache_artifact_release(artifact);
    plugcache_sources_free(sources);
}

int main(int argc, char **argv)
{
    plugcache_config *config;
    plugcache_store *store, *disabled;
    plugcache_sources *sources, *same;
    plugcache_artifact *artifact;
    plugcache_bytes *hex, *why;
    plugcache_stats stats;
    char copy[4096];
    int builds = 0;

    MUST(argc == 2);
    MUST(plugcache_last_error_code() == PLUGCACHE_CODE_OK && plugcache_last_error_text()[0] == 0);
    MUST(strchr(plugcache_version(), '.') != NULL);
    null_is_told_and_nothing_happens();

    MUST((config = plugcache_config_new(argv[1])) != NULL);
    MUST(plugcache_config_set(config, "max_files", "100") == PLUGCACHE_CODE_OK);
    MUST(plugcache_config_set(config, "exec", "independent") == PLUGCACHE_CODE_OK);
    MUST(plugcache_config_set(config, "max_file", "100") == PLUGCACHE_CODE_ARGUMENT);
    MUST(plugcache_config_set(config, "mode", "fast") == PLUGCACHE_CODE_ARGUMENT);
    MUST((store = plugcache_open(config)) != NULL);
    MUST(plugcache_config_set(config, "mode", "off") == PLUGCACHE_CODE_OK);
    MUST((disabled = plugcache_open_or_disabled(config)) != NULL);
    plugcache_config_free(config);
    MUST(plugcache_status(store) == PLUGCACHE_STATE_READY && is_text(plugcache_status_text(store), ""));
    MUST(plugcache_status(disabled) == PLUGCACHE_STATE_DISABLED);
    MUST(is_text(plugcache_status_text(disabled), "its mode is off"));
    MUST(strcmp(plugcache_dir(store), argv[1]) == 0);

    sources = sources_of(store, "same");
    same = sources_of(NULL, "same");
    hex = plugcache_sources_hex(same);
    MUST(plugcache_bytes_len(hex) == 64 && is_text(plugcache_sources_hex(sources), (const char *)plugcache_bytes_data(hex)));
    plugcache_bytes_free(hex);
    MUST((why = plugcache_explain(store, sources)) != NULL);
    MUST(strstr((const char *)plugcache_bytes_data(why), "never seen") != NULL);
    plugcache_bytes_free(why);
    MUST((why = plugcache_explain_json(store, sources)) != NULL);
    MUST(plugcache_bytes_data(why)[0] == '{');
    plugcache_bytes_free(why);

    artifact = plugcache_get_or_build(disabled, sources, build_good, &builds);
    MUST(artifact && plugcache_artifact_how(artifact) == PLUGCACHE_HOW_UNCACHED);
    MUST(strncmp(plugcache_artifact_how_text(artifact), "not stored: ", 12) == 0);
    plugcache_close(disabled);
    MUST(is_text(plugcache_artifact_bytes(artifact, 2), "three"));
    plugcache_artifact_release(artifact);

    artifact = plugcache_get_or_build(store, sources, build_good, &builds);
    MUST(artifact && plugcache_artifact_how(artifact) == PLUGCACHE_HOW_BUILT && builds == 2);
    plugcache_artifact_release(artifact);
    artifact = plugcache_get_or_build(store, same, build_good, &builds);
    MUST(artifact && plugcache_artifact_how(artifact) == PLUGCACHE_HOW_HIT && builds == 2);
    MUST(plugcache_sync(store) == PLUGCACHE_CODE_OK);
    MUST(plugcache_stats_get(store, &stats) == PLUGCACHE_CODE_OK);
    MUST(stats.entries == 1 && stats.hits == 1 && stats.adds == 1 && stats.bytes == 11);
    why = plugcache_stats_json(store);
    MUST(why && strstr((const char *)plugcache_bytes_data(why), "\"hits\":1") != NULL);
    plugcache_bytes_free(why);
    snprintf(copy, sizeof copy, "%s.copy", argv[1]);
    look_at(store, artifact, copy);
    adding(store, copy);
    trouble_of_builds_and_loads(store);
    an_output_in_a_place_of_its_own(store, copy);
    comparing(argv[1]);
    /* In an order that nobody would choose. */
    plugcache_close(store);
    MUST(is_text(plugcache_artifact_bytes(artifact, 0), "one"));
    plugcache_artifact_release(artifact);
    plugcache_sources_free(sources);
    plugcache_sources_free(same);
    puts("all right");
    return 0;
}
