//! File systems that are not this kernel's alone, and such that nothing can be executed from.

use plugcache::{
    __sim::{self, Disk, Verb},
    Added, Config, Durability, Exec, NO_OPTIONS, Outputs, Sources, Status, Store, Toolchain,
};

use super::damage::{Place, get};

fn open(disk: &Disk) -> (Store, __sim::Process) {
    let config = Config::builder("/home/u/store").exec(Exec::Given(vec![1])).durability(Durability::Lazy);
    let process = disk.process();
    (__sim::open(process.clone(), config.memo(false).build()).unwrap(), process)
}

fn sources(disk: &Disk, name: &str) -> Sources {
    let builder = Sources::new("f/1", &Toolchain::of_value("t", "1"), NO_OPTIONS).bytes(name, name);
    __sim::digest(disk.process(), builder).unwrap()
}

#[test]
fn on_a_shared_file_system_the_status_says_so_and_every_use_of_an_object_is_hashed() {
    let disk = Disk::new(1);
    disk.plant_dir("/home/u");
    // How many readings a second find takes.
    let readings = |disk: &Disk| {
        let (store, process) = open(disk);
        drop(store.find(&sources(disk, "a")));
        let before = process.steps();
        assert!(store.find(&sources(disk, "a")).is_some());
        process.trace()[before..].iter().filter(|step| step.verb == Verb::ReadAt).count()
    };
    let (store, _) = open(&disk);
    assert_eq!((store.status(), store.file_system()), (Status::Ready, None));
    assert_eq!(store.add(&sources(&disk, "a"), Outputs::bytes("a", vec![1; 999])), Ok(Added::Stored));
    assert!(store.file_system().is_some_and(|found| found.is_local && !found.is_noexec));
    assert_eq!(readings(&disk), 1, "the log's end");
    disk.set_file_system(false, true);
    let (store, _) = open(&disk);
    let Status::Degraded(why) = store.status() else { panic!("{:?}", store.status()) };
    assert!(why.contains("a simulated network") && why.contains("/home/u/store"), "{why}");
    assert!(store.file_system().is_some_and(|found| !found.is_local && found.is_noexec));
    assert!(readings(&disk) > 1);
    // It works all the same: adds, finds, a compaction, and damage is a miss.
    assert_eq!(store.add(&sources(&disk, "b"), Outputs::bytes("b", vec![2; 999])), Ok(Added::Stored));
    assert!(__sim::compact(&store));
    let (store, _) = open(&disk);
    assert!(store.find(&sources(&disk, "a")).is_some() && store.find(&sources(&disk, "b")).is_some());
    let object = plugcache::ObjectDigest::of_bytes(&[1; 999]).to_string();
    // As another machine would: no time of ours moves.
    disk.damage(format!("/home/u/store/v1/objects/{}/{}", &object[..2], &object[2..]), 5, [9]);
    assert!(store.find(&sources(&disk, "a")).is_none());
}

#[test]
fn a_local_file_system_is_one_and_says_whether_it_is_mounted_noexec() {
    let place = Place::new();
    get(&place.open(), 0);
    let found = place.open().file_system().unwrap();
    assert!(found.is_local, "{found:?}");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let dir = place.dir.canonicalize().unwrap();
    let of = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.nth(1)?))
    });
    let of = of.filter(|(at, _)| dir.starts_with(at)).max_by_key(|(at, _)| at.len()).unwrap();
    assert_eq!(found.is_noexec, of.1.split(',').any(|option| option == "noexec"), "{of:?}");
}
