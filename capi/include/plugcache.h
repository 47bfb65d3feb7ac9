/* Written by cbindgen from the sources of plugcache-capi: change those. */

#ifndef PLUGCACHE_H
#define PLUGCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * plugcache for C and C++: compiled plugins, built once and found by every later process.
 *
 * What it guarantees is in README.md. This is what holds for every function below.
 *
 * Texts end with a zero. Paths and names are bytes as the system has them; kinds, labels, options of the store and
 *   names of values are UTF-8. An array of `count` or `len` may be NULL if that is 0.
 * Arguments are looked at during the call only, and copied if they are needed longer. NULL for an object or a text is
 *   PLUGCACHE_CODE_ARGUMENT and nothing else happens, unless a function says that it is allowed. Every other pointer
 *   must be what it is declared to be: it cannot be checked.
 * Returned objects (plugcache_*) belong to the caller, who hands each to its `_free`, `_release` or `plugcache_close`
 *   once, in any order: no object needs another one to stay. Never to free().
 * Returned `const char *` and `const uint8_t *` belong to the object that they were asked of, and are valid until it is
 *   released; those of a build, while its callback runs; the last error's, until the next call of the thread that fails.
 * Errors: a function fails by NULL, -1, 0, false or a code other than PLUGCACHE_CODE_OK, and then
 *   plugcache_last_error_code and _text of the same thread say why. Nothing is printed. No panic crosses the border: it
 *   is PLUGCACHE_CODE_PANIC (and the text that the runtime of Rust writes to standard error).
 * Threads: any number may use a store, sources, a toolchain, an artifact, a sealed copy and bytes at once. A config, a
 *   builder and outputs are for one thread at a time, a build for the thread of its callback. An object is released when
 *   no other thread uses it any more. Callbacks run on the thread of the call. No thread is started that outlives one.
 * Fork: the child opens a store of its own, unless it calls exec.
 * Keep the artifact as long as code from its file is loaded: it is what keeps the file, and the path its own.
 * The layout of plugcache_stats and all signatures change only with the number in the library's soname.
 */


/**
 * What became of a call. Numbers are never given away anew.
 */
typedef enum {
  /**
   * It was done.
   */
  PLUGCACHE_CODE_OK = 0,
  /**
   * There is no such artifact in the store. The ordinary answer, no error.
   */
  PLUGCACHE_CODE_MISS = 1,
  /**
   * The artifact was not stored; the text says why. Nothing to do: the next request builds again.
   */
  PLUGCACHE_CODE_SKIPPED = 2,
  /**
   * The caller's mistake: NULL where a pointer is needed, an index that is too high, an unknown option, text that
   * is not UTF-8 where it must be.
   */
  PLUGCACHE_CODE_ARGUMENT = 3,
  /**
   * The store cannot be opened; the text says what is wrong with the directory and what to do.
   */
  PLUGCACHE_CODE_OPEN = 4,
  /**
   * Some sources cannot be read; the text has a line for each.
   */
  PLUGCACHE_CODE_SOURCES = 5,
  /**
   * The compiler cannot be identified.
   */
  PLUGCACHE_CODE_TOOLCHAIN = 6,
  /**
   * The build failed: the callback returned another number than 0.
   */
  PLUGCACHE_CODE_BUILD = 7,
  /**
   * The build succeeded and left no usable output.
   */
  PLUGCACHE_CODE_NO_OUTPUT = 8,
  /**
   * The build asked for the very thing that it is building.
   */
  PLUGCACHE_CODE_RECURSIVE = 9,
  /**
   * The mode is `require-hit`, and this is a miss; the text says why.
   */
  PLUGCACHE_CODE_REQUIRED_HIT = 10,
  /**
   * There is no directory to build in, neither in the store nor in the system's temporary directory.
   */
  PLUGCACHE_CODE_NO_SCRATCH = 11,
  /**
   * The artifact was built and does not load, or the plugin itself failed.
   */
  PLUGCACHE_CODE_LOAD = 12,
  /**
   * The stored bytes are no longer those that were stored. Release the artifact and ask again.
   */
  PLUGCACHE_CODE_DAMAGED = 13,
  /**
   * The store cannot be changed or synced.
   */
  PLUGCACHE_CODE_STORE = 14,
  /**
   * The system refused an operation.
   */
  PLUGCACHE_CODE_IO = 15,
  /**
   * A mistake in this library or in a callback; it was stopped at the border. The objects of the call may be
   * released, and should not be used.
   */
  PLUGCACHE_CODE_PANIC = 16,
  /**
   * The mode is `compare`, and what was added is not what is stored; the text names the outputs that differ.
   */
  PLUGCACHE_CODE_DIFFERS = 17,
} plugcache_code;

/**
 * Whether a store works.
 */
typedef enum {
  /**
   * It finds and adds.
   */
  PLUGCACHE_STATE_READY = 0,
  /**
   * It finds, and adds nothing.
   */
  PLUGCACHE_STATE_READ_ONLY = 1,
  /**
   * It is open, and the last operation met trouble.
   */
  PLUGCACHE_STATE_DEGRADED = 2,
  /**
   * There is none.
   */
  PLUGCACHE_STATE_DISABLED = 3,
} plugcache_state;

/**
 * How an artifact was come by.
 */
typedef enum {
  /**
   * It was in the store.
   */
  PLUGCACHE_HOW_HIT = 0,
  /**
   * Somebody else built it while this caller waited.
   */
  PLUGCACHE_HOW_WAITED = 1,
  /**
   * It was built now, and stored.
   */
  PLUGCACHE_HOW_BUILT = 2,
  /**
   * It was built now and not stored: `plugcache_artifact_how_text` says why. It is as good as any, and its files go
   * when it is released.
   */
  PLUGCACHE_HOW_UNCACHED = 3,
  /**
   * It was built now and compared with what is stored, and not stored: the mode is `compare`.
   * `plugcache_artifact_how_text` says what differs.
   */
  PLUGCACHE_HOW_COMPARED = 4,
} plugcache_how;

/**
 * A ready artifact. Its files stay until it and all its clones are released, whatever the store does. It does not
 * change any more; any number of threads may use it.
 */
typedef struct plugcache_artifact plugcache_artifact;

/**
 * A build in progress, and the right to it. Lives while the callback runs, on the callback's thread alone.
 */
typedef struct plugcache_build plugcache_build;

/**
 * Bytes or a text that a function made. A zero follows the last byte and is not counted, so that text can be used as
 * it is.
 */
typedef struct plugcache_bytes plugcache_bytes;

/**
 * What a host chose about a store. One thread at a time.
 */
typedef struct plugcache_config plugcache_config;

/**
 * What a host that compiled by itself gives to `plugcache_add`: named outputs, the first of which is the primary one.
 * One thread at a time.
 */
typedef struct plugcache_outputs plugcache_outputs;

/**
 * A copy of an output in memory that nobody can change any more.
 */
typedef struct plugcache_sealed plugcache_sealed;

/**
 * The complete description of one compile, with the digests of its files: what a store is asked for. It does not
 * change any more; any number of threads may use it.
 */
typedef struct plugcache_sources plugcache_sources;

/**
 * The description of one compile in the making. One thread at a time.
 */
typedef struct plugcache_sources_builder plugcache_sources_builder;

/**
 * An open store. Any number of threads may use it at once.
 */
typedef struct plugcache_store plugcache_store;

/**
 * What compiles: a part of every key.
 */
typedef struct plugcache_toolchain plugcache_toolchain;

/**
 * Counters of one handle since it was opened, and the size of its store.
 */
typedef struct {
  /**
   * Entries in the store.
   */
  uint64_t entries;
  /**
   * Bytes of the distinct objects that entries name.
   */
  uint64_t bytes;
  /**
   * Finds that gave an artifact.
   */
  uint64_t hits;
  /**
   * Finds that did not.
   */
  uint64_t misses;
  /**
   * Of these: an object was damaged and set aside, or gone.
   */
  uint64_t misses_damaged;
  /**
   * Of these: the store could not be used or read.
   */
  uint64_t misses_unusable;
  /**
   * Artifacts stored.
   */
  uint64_t adds;
  /**
   * Artifacts not stored.
   */
  uint64_t skips;
  /**
   * Entries that went because the store was over its limits.
   */
  uint64_t evictions;
  /**
   * Sum of the recorded build times of all hits, in milliseconds.
   */
  uint64_t saved_ms;
} plugcache_stats;

/**
 * Builds: writes each output where `plugcache_build_output` says, and returns 0; anything else is a failure. Runs on
 * the thread of the call that it was given to. It may call this library, but not ask for what it is building. No C++
 * exception and no longjmp may leave it.
 */
typedef int (*plugcache_build_fn)(plugcache_build *build, void *user);

/**
 * Loads an artifact and returns 0. 1: the artifact does not load (wrong ABI, damaged, made for another host); if it
 * came from the store it is built anew, once. Anything else: the artifact loaded and the plugin itself failed; its
 * entry stays. `artifact` belongs to the library; clone it to keep
 * it; how it was come by only the artifact that is returned says. No C++ exception and no longjmp may leave it.
 */
typedef int (*plugcache_load_fn)(const plugcache_artifact *artifact, void *user);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The code of the last call on this thread that failed or missed; `PLUGCACHE_CODE_OK` if none has. A call that succeeds
 * leaves it as it is.
 */
plugcache_code plugcache_last_error_code(void);

/**
 * What was wrong, for people: what was done to what, the cause, and what to do. Never NULL. Belongs to the library;
 * valid until the next call on this thread that fails, or the thread ends.
 */
const char *plugcache_last_error_text(void);

/**
 * The version of this library, "MAJOR.MINOR.PATCH". Static.
 */
const char *plugcache_version(void);

/**
 * Its bytes, and a zero behind them. Belongs to `bytes`; valid until `plugcache_bytes_free`.
 */
const uint8_t *plugcache_bytes_data(const plugcache_bytes *bytes);

/**
 * How many bytes.
 */
size_t plugcache_bytes_len(const plugcache_bytes *bytes);

/**
 * Releases bytes. NULL is allowed.
 */
void plugcache_bytes_free(plugcache_bytes *bytes);

/**
 * Identifies a program and the files that do its work, behind drivers, proxies and wrappers. `program` is looked up
 * in PATH, or is a path if it has a slash in it. Starts the compiler to ask it. NULL: `PLUGCACHE_CODE_TOOLCHAIN`.
 */
plugcache_toolchain *plugcache_toolchain_of_program(const char *program);

/**
 * Identifies files by their content; their order and names count. NULL: `PLUGCACHE_CODE_SOURCES`.
 */
plugcache_toolchain *plugcache_toolchain_of_files(const char *name,
                                                  const char *const *paths,
                                                  size_t count);

/**
 * A toolchain that the host can name by itself: a version with a commit, a digest. It must change whenever the
 * compiler would produce something else.
 */
plugcache_toolchain *plugcache_toolchain_of_value(const char *name,
                                                  const uint8_t *value,
                                                  size_t len);

/**
 * States that no toolchain is involved: the artifact follows from the sources and the options alone.
 */
plugcache_toolchain *plugcache_toolchain_none(void);

/**
 * A new toolchain: `first`, and then `second`. Both stay the caller's.
 */
plugcache_toolchain *plugcache_toolchain_and(const plugcache_toolchain *first,
                                             const plugcache_toolchain *second);

/**
 * Releases a toolchain. NULL is allowed. Descriptions that were made with it do not need it any more.
 */
void plugcache_toolchain_free(plugcache_toolchain *toolchain);

/**
 * Begins a description. `kind` says what is made and for which interface of the host ("my-host/abi-3"); `options` are
 * the compiler's, `count` of them, in their order. Everything is copied. NULL: `PLUGCACHE_CODE_ARGUMENT`.
 */
plugcache_sources_builder *plugcache_sources_builder_new(const char *kind,
                                                         const plugcache_toolchain *toolchain,
                                                         const char *const *options,
                                                         size_t count);

/**
 * Adds a file: its name and content count, its directory does not. It is read by `plugcache_sources_digest`.
 */
plugcache_code plugcache_sources_builder_file(plugcache_sources_builder *builder,
                                              const char *path);

/**
 * Adds a source that the host holds in memory; it is copied.
 */
plugcache_code plugcache_sources_builder_bytes(plugcache_sources_builder *builder,
                                               const char *name,
                                               const uint8_t *bytes,
                                               size_t len);

/**
 * Adds whatever else the artifact depends on. The value is copied, and recorded in the store as its BLAKE3 only.
 */
plugcache_code plugcache_sources_builder_context(plugcache_sources_builder *builder,
                                                 const char *name,
                                                 const uint8_t *value,
                                                 size_t len);

/**
 * Adds an environment variable, with the value that it has when `plugcache_sources_digest` is called. Recorded as its
 * BLAKE3 only.
 */
plugcache_code plugcache_sources_builder_env(plugcache_sources_builder *builder,
                                             const char *name);

/**
 * Says what people call it; no part of the key.
 */
plugcache_code plugcache_sources_builder_label(plugcache_sources_builder *builder,
                                               const char *label);

/**
 * Releases a description in the making. NULL is allowed.
 */
void plugcache_sources_builder_free(plugcache_sources_builder *builder);

/**
 * Reads and digests all files of the description, as they are now. The builder stays the caller's, and may be digested
 * again when files have changed. Files that `store` (or NULL) knows to be unchanged are not read. NULL:
 * `PLUGCACHE_CODE_SOURCES`, with a line for each file that is missing, no file, unreadable or changing.
 */
plugcache_sources *plugcache_sources_digest(const plugcache_sources_builder *builder,
                                            const plugcache_store *store);

/**
 * The digest of the whole description as 64 hexadecimal digits, to be released by the caller.
 */
plugcache_bytes *plugcache_sources_hex(const plugcache_sources *sources);

/**
 * Releases a description. NULL is allowed.
 */
void plugcache_sources_free(plugcache_sources *sources);

/**
 * A store in the directory `dir` with everything else at its default.
 */
plugcache_config *plugcache_config_new(const char *dir);

/**
 * The store of the application `name` for this user. NULL: there is no such directory (`PLUGCACHE_CODE_OPEN`).
 */
plugcache_config *plugcache_config_for_app(const char *name);

/**
 * Sets one option, by the name and in the spelling that the library's configuration has in JSON; a word needs no
 * quotes: ("max_bytes", "1000000"), ("durability", "sync"), ("exec", "independent"), ("layers", "[\"/opt/store\"]").
 * `PLUGCACHE_CODE_ARGUMENT`: there is no such option, or it has no such value; then nothing has changed.
 */
plugcache_code plugcache_config_set(plugcache_config *config,
                                    const char *option,
                                    const char *value);

/**
 * Releases a configuration. NULL is allowed. Stores that were opened with it do not need it any more.
 */
void plugcache_config_free(plugcache_config *config);

/**
 * Opens a store; a directory that does not exist is an empty one. NULL: `PLUGCACHE_CODE_OPEN`, and the text says what is
 * wrong with the directory.
 */
plugcache_store *plugcache_open(const plugcache_config *config);

/**
 * Opens a store, or none: then every find misses, nothing is stored, builds run, and the status says why. NULL only for
 * a NULL.
 */
plugcache_store *plugcache_open_or_disabled(const plugcache_config *config);

/**
 * The store of the application `name` in this user's cache directory, or none, as `plugcache_open_or_disabled`.
 * PLUGCACHE_DIR names another directory, PLUGCACHE_DISABLE=1 disables it.
 */
plugcache_store *plugcache_open_for_app(const char *name);

/**
 * Closes a store and releases it. NULL is allowed. No call may be in it any more; artifacts stay usable.
 */
void plugcache_close(plugcache_store *store);

/**
 * Whether the store works.
 */
plugcache_state plugcache_status(const plugcache_store *store);

/**
 * What is in the way of a store that is degraded or disabled; empty for one that works. To be released by the caller.
 */
plugcache_bytes *plugcache_status_text(const plugcache_store *store);

/**
 * The directory of the store; empty for none. Belongs to the store.
 */
const char *plugcache_dir(const plugcache_store *store);

/**
 * The artifact of these sources, if the store has it; to be released by the caller. NULL: `PLUGCACHE_CODE_MISS`; whatever is
 * wrong with a store is a miss. See `plugcache_explain` for the reason.
 */
plugcache_artifact *plugcache_find(const plugcache_store *store,
                                   const plugcache_sources *sources);

/**
 * Stores what the caller has made from these sources. The outputs stay the caller's, and may be added again.
 * `PLUGCACHE_CODE_SKIPPED`: it is not stored, and the text says why. `PLUGCACHE_CODE_DIFFERS`: see there. `PLUGCACHE_CODE_NO_OUTPUT`: an output is missing or no file.
 */
plugcache_code plugcache_add(const plugcache_store *store,
                             const plugcache_sources *sources,
                             const plugcache_outputs *outputs);

/**
 * Says that an artifact does not load, so that the next request builds it anew. `false` if it had no entry any more or
 * the store cannot be changed. `plugcache_load_or_build` does it by itself.
 */
bool plugcache_reject(const plugcache_store *store,
                      const plugcache_artifact *artifact,
                      const char *why);

/**
 * Drops all entries of these sources. `dropped`, unless NULL, gets their number.
 */
plugcache_code plugcache_forget(const plugcache_store *store,
                                const plugcache_sources *sources,
                                size_t *dropped);

/**
 * Drops all entries. Open artifacts stay usable. `dropped`, unless NULL, gets their number.
 */
plugcache_code plugcache_clear(const plugcache_store *store, size_t *dropped);

/**
 * Makes durable everything that returned before this was called: it survives a power cut.
 */
plugcache_code plugcache_sync(const plugcache_store *store);

/**
 * Why a find of these sources hits or misses, for people: what changed, compared with the nearest entry, and what to do
 * about it. To be released by the caller. Changes and counts nothing.
 */
plugcache_bytes *plugcache_explain(const plugcache_store *store,
                                   const plugcache_sources *sources);

/**
 * The same for machines, as JSON; to be released by the caller.
 */
plugcache_bytes *plugcache_explain_json(const plugcache_store *store,
                                        const plugcache_sources *sources);

/**
 * Writes the counters to `stats`.
 */
plugcache_code plugcache_stats_get(const plugcache_store *store, plugcache_stats *stats);

/**
 * All counters, those of all handles on the store and the misses and skips by reason among them, as JSON; to be released by the caller.
 */
plugcache_bytes *plugcache_stats_json(const plugcache_store *store);

/**
 * One more handle of the same artifact, to be released on its own. NULL only for NULL.
 */
plugcache_artifact *plugcache_artifact_clone(const plugcache_artifact *artifact);

/**
 * Releases an artifact and every pointer that was had from it. NULL is allowed. Code that was loaded from its files
 * stays loaded; the files may go from now on.
 */
void plugcache_artifact_release(plugcache_artifact *artifact);

/**
 * How it was come by.
 */
plugcache_how plugcache_artifact_how(const plugcache_artifact *artifact);

/**
 * How it was come by, for people: "hit", "built", "not stored: the disk is full". Belongs to the artifact.
 */
const char *plugcache_artifact_how_text(const plugcache_artifact *artifact);

/**
 * What people call it. Belongs to the artifact.
 */
const char *plugcache_artifact_label(const plugcache_artifact *artifact);

/**
 * How long its build took, in milliseconds: what a hit saves.
 */
uint64_t plugcache_artifact_cost_ms(const plugcache_artifact *artifact);

/**
 * The path of its first output: what `dlopen` is given. Absolute. Belongs to the artifact, and leads to the file until
 * that is released. One path per content: for a second instance see `plugcache_artifact_sealed`. Never write to it.
 * NULL: a packed output for which there is no room (`PLUGCACHE_CODE_IO`).
 */
const char *plugcache_artifact_path(const plugcache_artifact *artifact);

/**
 * How many outputs it has; at least one.
 */
size_t plugcache_artifact_output_count(const plugcache_artifact *artifact);

/**
 * The index of the output of this name; -1 if there is none.
 */
ptrdiff_t plugcache_artifact_output_index(const plugcache_artifact *artifact, const char *name);

/**
 * The name of an output, by its index from 0. Belongs to the artifact.
 */
const char *plugcache_artifact_output_name(const plugcache_artifact *artifact, size_t index);

/**
 * The path of an output, as `plugcache_artifact_path`.
 */
const char *plugcache_artifact_output_path(const plugcache_artifact *artifact, size_t index);

/**
 * The length of an output in bytes.
 */
uint64_t plugcache_artifact_output_len(const plugcache_artifact *artifact, size_t index);

/**
 * All bytes of an output, hashed after they were read; to be released by the caller. NULL: `PLUGCACHE_CODE_DAMAGED`.
 */
plugcache_bytes *plugcache_artifact_bytes(const plugcache_artifact *artifact,
                                          size_t index);

/**
 * Copies an output to `path`, beside it and then renamed over. A file of its own: what is loaded from it is an instance
 * of its own.
 */
plugcache_code plugcache_artifact_copy_to(const plugcache_artifact *artifact,
                                          size_t index,
                                          const char *path);

/**
 * Makes such a copy, and hashes it after it was sealed. Its path was never used before in this process: a dynamic
 * loader takes it for a new library, so that its initialisers run once more. NULL: `PLUGCACHE_CODE_DAMAGED`.
 */
plugcache_sealed *plugcache_artifact_sealed(const plugcache_artifact *artifact,
                                            size_t index);

/**
 * Opens the copy, in this process. Belongs to the copy.
 */
const char *plugcache_sealed_path(const plugcache_sealed *sealed);

/**
 * Its bytes. They belong to the copy.
 */
const uint8_t *plugcache_sealed_data(const plugcache_sealed *sealed);

/**
 * How many bytes.
 */
size_t plugcache_sealed_len(const plugcache_sealed *sealed);

/**
 * Releases a copy. NULL is allowed. What was loaded from it stays loaded.
 */
void plugcache_sealed_free(plugcache_sealed *sealed);

/**
 * No outputs yet.
 */
plugcache_outputs *plugcache_outputs_new(void);

/**
 * One more output from a file, which `plugcache_add` copies.
 */
plugcache_code plugcache_outputs_file(plugcache_outputs *outputs,
                                      const char *name,
                                      const char *path);

/**
 * One more output from memory, which is copied now.
 */
plugcache_code plugcache_outputs_bytes(plugcache_outputs *outputs,
                                       const char *name,
                                       const uint8_t *bytes,
                                       size_t len);

/**
 * As `plugcache_outputs_bytes`, but without a file of its own in the store: for what comes by the thousand.
 */
plugcache_code plugcache_outputs_packed(plugcache_outputs *outputs,
                                        const char *name,
                                        const uint8_t *bytes,
                                        size_t len);

/**
 * How long making them took: what a later hit saves. After the first output.
 */
plugcache_code plugcache_outputs_cost_ms(plugcache_outputs *outputs, uint64_t cost_ms);

/**
 * Releases outputs. NULL is allowed.
 */
void plugcache_outputs_free(plugcache_outputs *outputs);

/**
 * The artifact of these sources: from the store, or built now by `build` and stored for everyone; to be released by the
 * caller. `user` is passed on to `build`. One caller builds, in any number of threads and processes; the others wait
 * for it. Whatever is wrong with the store, a build that succeeded gives an artifact (`PLUGCACHE_HOW_UNCACHED`).
 * NULL: `PLUGCACHE_CODE_BUILD` with the text of `plugcache_build_fail`, `PLUGCACHE_CODE_NO_OUTPUT`, `PLUGCACHE_CODE_RECURSIVE`,
 * `PLUGCACHE_CODE_REQUIRED_HIT`, `PLUGCACHE_CODE_NO_SCRATCH`.
 */
plugcache_artifact *plugcache_get_or_build(const plugcache_store *store,
                                           const plugcache_sources *sources,
                                           plugcache_build_fn build,
                                           void *user);

/**
 * As `plugcache_get_or_build`, and loads the artifact by `load`. If one that was stored does not load, its entry is
 * dropped and it is built anew, once and never twice. `user` is passed on to both. NULL: as there, or
 * `PLUGCACHE_CODE_LOAD`.
 */
plugcache_artifact *plugcache_load_or_build(const plugcache_store *store,
                                            const plugcache_sources *sources,
                                            plugcache_build_fn build,
                                            plugcache_load_fn load,
                                            void *user);

/**
 * A directory of this build alone, which goes with it. Valid while the callback runs.
 */
const char *plugcache_build_dir(plugcache_build *build);

/**
 * Declares an output and says where to write it; the first one is the primary one. The path ends in `name` if that is a
 * plain file name. Valid while the callback runs.
 */
const char *plugcache_build_output(plugcache_build *build,
                                   const char *name);

/**
 * Declares an output that the build leaves at `path`, a place of its own choice, absolute or below the working
 * directory. It is copied into the store; where nothing is stored, it is the artifact's own path and must stay.
 */
plugcache_code plugcache_build_output_at(plugcache_build *build,
                                         const char *name,
                                         const char *path);

/**
 * Declares an output and writes it.
 */
plugcache_code plugcache_build_write(plugcache_build *build,
                                     const char *name,
                                     const uint8_t *bytes,
                                     size_t len);

/**
 * Declares an output that needs no file of its own in the store, as `plugcache_outputs_packed`.
 */
plugcache_code plugcache_build_write_packed(plugcache_build *build,
                                            const char *name,
                                            const uint8_t *bytes,
                                            size_t len);

/**
 * Reports a file that the build reads beside its sources (a header): the next hit needs it unchanged.
 */
plugcache_code plugcache_build_also_read(plugcache_build *build,
                                         const char *path);

/**
 * Reports all that a depfile names, as `cc -MD -MF` writes it. `PLUGCACHE_CODE_IO`: it cannot be read, or is none; return
 * that from the callback, for without it an old artifact could be taken for a new one.
 */
plugcache_code plugcache_build_depfile(plugcache_build *build,
                                       const char *path);

/**
 * Says why the build fails: the text of `PLUGCACHE_CODE_BUILD`. The callback then returns another number than 0.
 */
plugcache_code plugcache_build_fail(plugcache_build *build,
                                    const char *why);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PLUGCACHE_H */
