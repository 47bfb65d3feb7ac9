//! What fuzzing found in whole stores, each as a test of its own.

use plugcache::{
    __sim::{self, Disk},
    Added, Config, Exec, NO_OPTIONS, Outputs, Sources, Store, Toolchain,
};

#[test]
fn a_log_that_may_only_be_read_keeps_no_open_handle_from_finding() {
    let disk = Disk::new(1);
    let config = Config::builder("/cache").exec(Exec::Given(vec![1])).build();
    let open = || __sim::open(disk.process(), config.clone()).unwrap();
    let sources = |key: &str| {
        let tool = Toolchain::of_value("compiler", "1");
        Sources::new("found/1", &tool, NO_OPTIONS).bytes("plugin", key).digest().unwrap()
    };
    let add =
        |store: &Store, key: &str| store.add(&sources(key), Outputs::bytes("plugin.so", "bytes")).unwrap();
    assert_eq!(add(&open(), "a"), Added::Stored);
    disk.plant_file("/cache/v1/log.9", "no log");
    disk.chmod("/cache/v1/log.9", 0o444);
    let store = open();
    // Adding seals the log it knows and then meets the one that it cannot write to.
    assert!(matches!(add(&store, "b"), Added::Skipped(_)));
    assert!(store.find(&sources("a")).is_some());
}
