//! ^C in the middle: whole or nothing, and no litter.

use crate::common::Place;
use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const SIGINT: i32 = 2;
/// Copying so much takes long enough to be interrupted in it.
const BYTES: u64 = 200 << 20;

/// Files of the store that have no name yet which anybody looks up.
fn staged(place: &Place) -> Vec<String> {
    let listed = fs::read_dir(place.store().join("v1/staging"));
    listed.map_or_else(
        |_| Vec::new(),
        |listed| listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect(),
    )
}

/// A sparse file, different from another with another `mark`.
fn big(place: &Place, name: &str, mark: &str) {
    let path = place.write(name, mark);
    fs::File::options().write(true).open(path).unwrap().set_len(BYTES).unwrap();
}

/// Sends it SIGINT as soon as it has staged something, and sees that this ended it; how long it then took.
fn interrupt(place: &Place, command: &mut Command) -> Duration {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let limit = Instant::now() + Duration::from_secs(60);
    while staged(place).is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it staged anything");
        assert!(Instant::now() < limit, "it stages nothing");
        thread::sleep(Duration::from_millis(1));
    }
    let told = Instant::now();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(SIGINT), "{status:?}");
    told.elapsed()
}

#[test]
fn an_interrupted_put_leaves_nothing_staged_and_no_half_of_an_entry() {
    let place = Place::with_entry();
    place.write("b.c", "another source");
    big(&place, "big.so", "1");
    interrupt(&place, &mut place.command("put -s b.c big.so"));
    assert_eq!(staged(&place), [""; 0]);
    // Where the file system shares blocks it may have been too late, and then all of it is there.
    let scrubbed = place.out("scrub --json");
    assert!(scrubbed.contains("\"orphaned\":{\"count\":0"), "{scrubbed}");
    place.run("put -s b.c big.so").ends(0);
    assert_eq!(place.out("ls --json").lines().count(), 2);
}

#[test]
fn an_interrupted_import_leaves_whole_entries_and_another_goes_on_with_the_rest() {
    let from = Place::new();
    for name in ["a", "b", "c"] {
        from.write(&format!("{name}.c"), name);
        big(&from, &format!("{name}.so"), name);
        from.run(&format!("put -s {name}.c {name}.so")).ends(0);
    }
    let place = Place::with_entry();
    let import = || {
        let mut command = place.command("import");
        command.arg(from.store());
        command
    };
    interrupt(&place, &mut import());
    assert_eq!(staged(&place), [""; 0]);
    let entries = place.out("ls --json").lines().count();
    assert!((1..4).contains(&entries), "{entries}");
    assert!(place.out("scrub --json").contains("\"orphaned\":{\"count\":0"));
    assert!(import().status().unwrap().success());
    assert_eq!(place.out("ls --json").lines().count(), 4);
}
