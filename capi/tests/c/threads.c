/* Threads share a store, sources and an artifact; each has its own last error; one builds and the others wait. */
#define _POSIX_C_SOURCE 200809L
#include <plugcache.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MUST(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "line %d: %s\nlast error %d: %s\n", __LINE__, #condition, \
                    (int)plugcache_last_error_code(), plugcache_last_error_text()); \
            exit(1); \
        } \
    } while (0)

enum { THREADS = 8, ROUNDS = 20 };

static const plugcache_store *store;
static const plugcache_sources *shared;
static const plugcache_artifact *artifact;
static pthread_barrier_t together;
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;
static int builds;

static int build(plugcache_build *build, void *user)
{
    const struct timespec a_while = {0, 20000000};
    (void)user;
    pthread_mutex_lock(&counting);
    builds++;
    pthread_mutex_unlock(&counting);
    nanosleep(&a_while, NULL);
    return plugcache_build_write(build, "out", (const uint8_t *)"abc", 3) == PLUGCACHE_CODE_OK ? 0 : 1;
}

static plugcache_sources *sources_of(int number)
{
    plugcache_toolchain *none = plugcache_toolchain_none();
    plugcache_sources_builder *builder = plugcache_sources_builder_new("threads/1", none, NULL, 0);
    plugcache_sources *sources;
    char name[32];
    snprintf(name, sizeof name, "%d", number);
    MUST(plugcache_sources_builder_bytes(builder, name, NULL, 0) == PLUGCACHE_CODE_OK);
    sources = plugcache_sources_digest(builder, store);
    plugcache_sources_builder_free(builder);
    plugcache_toolchain_free(none);
    MUST(sources);
    return sources;
}

static void *work(void *argument)
{
    const int me = *(const int *)argument;
    const char *path = NULL;
    plugcache_artifact *got;
    char none[64];

    MUST(plugcache_last_error_code() == PLUGCACHE_CODE_OK);
    pthread_barrier_wait(&together);
    got = plugcache_get_or_build(store, shared, build, NULL);
    MUST(got && plugcache_artifact_how(got) != PLUGCACHE_HOW_UNCACHED);
    snprintf(none, sizeof none, "no-such-compiler-%d", me);
    for (int round = 0; round < ROUNDS; round++) {
        plugcache_sources *mine = sources_of(me * ROUNDS + round);
        plugcache_artifact *one, *clone;
        plugcache_bytes *bytes;
        MUST(!plugcache_toolchain_of_program(none));
        one = plugcache_get_or_build(store, mine, build, NULL);
        MUST(one && plugcache_artifact_how(one) == PLUGCACHE_HOW_BUILT);
        clone = plugcache_artifact_clone(artifact);
        bytes = plugcache_artifact_bytes(clone, 0);
        MUST(bytes && memcmp(plugcache_bytes_data(bytes), "abc", 4) == 0);
        /* One text for all threads, whoever asks first. */
        MUST(!path || path == plugcache_artifact_path(artifact));
        path = plugcache_artifact_path(artifact);
        MUST(path && strstr(plugcache_last_error_text(), none));
        plugcache_bytes_free(bytes);
        plugcache_artifact_release(clone);
        plugcache_artifact_release(one);
        plugcache_sources_free(mine);
    }
    plugcache_artifact_release(got);
    return NULL;
}

int main(int argc, char **argv)
{
    plugcache_config *config;
    plugcache_store *opened;
    plugcache_sources *of_all, *of_artifact;
    plugcache_artifact *held;
    pthread_t threads[THREADS];
    int numbers[THREADS];

    MUST(argc == 2);
    MUST((config = plugcache_config_new(argv[1])) != NULL);
    MUST(plugcache_config_set(config, "exec", "independent") == PLUGCACHE_CODE_OK);
    MUST((opened = plugcache_open(config)) != NULL);
    plugcache_config_free(config);
    store = opened;
    shared = of_all = sources_of(-1);
    of_artifact = sources_of(-2);
    MUST((held = plugcache_get_or_build(store, of_artifact, build, NULL)) != NULL);
    artifact = held;
    MUST(pthread_barrier_init(&together, NULL, THREADS) == 0);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        MUST(pthread_create(&threads[i], NULL, work, &numbers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
    /* One for all, one for the artifact, and one for each round of each thread. */
    MUST(builds == 2 + THREADS * ROUNDS);
    pthread_barrier_destroy(&together);
    plugcache_artifact_release(held);
    plugcache_sources_free(of_all);
    plugcache_sources_free(of_artifact);
    plugcache_close(opened);
    puts("all right");
    return 0;
}
