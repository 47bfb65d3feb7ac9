//! `remote status`, `doctor` and `gc`.

use super::{Fleet, Machine, engine::Engine};
use crate::common::have;
use std::process::Command;

#[test]
fn status_says_where_the_tier_is_and_who_this_machine_is_there() {
    let fleet = Fleet::new();
    let first = fleet.publisher();
    let said = first.out("remote status");
    let endpoint = format!("fleet at http://{}", fleet.engine.address);
    for what in
        ["write-through", &endpoint, "main: 1 key is believed", "in main as ci-7", &first.id(), "answers"]
    {
        assert!(said.contains(what), "{what} is not in {said}");
    }
    let lonely = fleet.machine("namespaces = ['main', 'dev']\n");
    lonely.run("remote status").ends(1);
    lonely.out(&format!("key trust {}", first.public()));
    let said = lonely.out("remote status");
    assert!(said.contains("dev: 0 keys are believed"), "{said}");
}

#[test]
fn doctor_writes_the_rules_that_the_engine_lacks_and_leaves_those_of_others() {
    let fleet = Fleet::new();
    let machine = fleet.publisher();
    let others = "<Rule><ID>logs</ID><Filter><Prefix>logs/</Prefix></Filter><Status>Enabled</Status>\
                  <Expiration><Days>3</Days></Expiration></Rule>";
    fleet.rules.set(&format!("<LifecycleConfiguration>{others}</LifecycleConfiguration>"));
    let said = machine.run("remote doctor");
    assert!(said.ends(1).out.contains("BAD  lifecycle  no rule"), "{said:?}");
    let said = machine.out("remote doctor --fix");
    assert!(said.contains("ok   lifecycle  the rules were written"), "{said}");
    let rules = fleet.rules.now().unwrap();
    for part in [
        others,
        "<Prefix>v1/cas/</Prefix>",
        "<Prefix>v1/main/</Prefix>",
        "<Days>30</Days>",
        "<Days>22</Days>",
    ] {
        assert!(rules.contains(part), "{part} is not in {rules}");
    }
    assert!(machine.out("remote doctor").contains("ok   lifecycle  the engine has a rule"));
    machine.out("remote doctor --fix");
    assert_eq!(fleet.rules.now().unwrap(), rules);
    let printed: serde_json::Value = serde_json::from_str(&machine.out("remote doctor --rules")).unwrap();
    assert_eq!(printed["Rules"].as_array().unwrap().len(), 2);
}

#[test]
fn an_engine_without_rules_is_told_from_one_that_lacks_some() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(dir.path());
    let machine = Machine::at(engine.address, "[publish]\n");
    let public = machine.new_key();
    machine.out(&format!("key trust {public}"));
    let said = machine.out("remote doctor");
    assert!(said.contains("warn lifecycle"), "{said}");
    let said = machine.run("remote doctor --fix");
    assert!(said.ends(1).out.contains("this engine has no such rules"), "{said:?}");
    assert!(said.out.contains("remote gc"), "{said:?}");
}

#[test]
fn gc_removes_what_is_old_and_only_says_so_in_a_dry_run() {
    let fleet = Fleet::new();
    let machine = fleet.publisher();
    machine.build("a").ends(0);
    let said = machine.out("remote gc");
    assert!(said.contains("removed: 0 entries, 0 objects") && said.contains("kept: 1 and 1"), "{said}");
    let files = fleet.files();
    for part in ["/cas/", "/ac/"] {
        let old = Command::new("touch").args(["-d", "40 days ago"]).arg(fleet.file(part)).status().unwrap();
        assert!(old.success());
    }
    let said = machine.out("remote gc --dry-run");
    assert!(said.contains("would go: 1 entry, 1 object"), "{said}");
    assert_eq!(fleet.files(), files);
    assert!(machine.out("remote gc").contains("removed: 1 entry, 1 object"));
    assert_eq!(fleet.files(), files - 2);
}

#[test]
fn progress_is_drawn_on_a_terminal_alone() {
    if !have("script", &["--version"]) {
        return;
    }
    let fleet = Fleet::new();
    let machine = fleet.signer("");
    machine.build("a").ends(0);
    assert_eq!(machine.run("remote push --all").err, "");
    let plain = machine.command("");
    let mut command = Command::new("script");
    let inner = format!("{} remote push --all", env!("CARGO_BIN_EXE_plugcache"));
    command.args(["-qec", &inner, "/dev/null"]).current_dir(machine.place.path("")).env("TERM", "xterm");
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let shown = command.output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("bringing") && shown.contains("brought 1 of 1"), "{shown:?}");
}

#[test]
fn the_manual_and_the_completions_know_the_verbs() {
    let machine = Fleet::new().machine("");
    let man = machine.out("man");
    for verb in ["REMOTE", "remote push", "remote doctor", "key trust", "PLUGCACHE_REMOTE_CONFIG"] {
        assert!(man.replace("\\-", "-").contains(verb), "{verb}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let text = machine.out(&format!("completions {shell}"));
        assert!(text.contains("prefetch") && text.contains("revoke"), "{shell}");
    }
    // The comments of shared flags are not taken for what a verb does.
    assert!(machine.out("key --help").starts_with("Prints the source digest"));
    assert!(machine.out("run --help").starts_with("Runs a command, unless"));
    assert!(machine.out("remote push --help").starts_with("Brings entries of the store"));
}
