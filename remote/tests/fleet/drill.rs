//! The poisoning drill: an attacker in a process of its own, with every right on the bucket, against hosts in theirs. Its
//! code leaves a canary as soon as it is loaded.

use plugcache_remote::{SecretKey, trust};

use crate::{
    attack::{Attack, ON_BUNDLES, ON_ENTRIES, ON_OBJECTS},
    bed::{Bed, forget, name},
    crew::{Crew, Report},
    engines::Engine,
    harness::{Outcome, count},
    hosts::publish,
};

crate::tests! { "drill":
    on_s3s_fs_an_attacker_with_all_rights_on_the_bucket_gets_not_one_byte_executed,
    on_garage_an_attacker_with_all_rights_on_the_bucket_gets_not_one_byte_executed,
}

const PLUGINS: usize = 3;

fn on_s3s_fs_an_attacker_with_all_rights_on_the_bucket_gets_not_one_byte_executed() -> Outcome {
    let bed = Bed::new(PLUGINS);
    drill(&bed, &Engine::s3s(&bed))
}

fn on_garage_an_attacker_with_all_rights_on_the_bucket_gets_not_one_byte_executed() -> Outcome {
    let bed = Bed::new(PLUGINS);
    drill(&bed, &Engine::garage(&bed)?)
}

/// The attacker, who has done this when it says so.
struct Attacker {
    crew: Crew,
    orders: usize,
}

impl Attacker {
    fn start(bed: &Bed, engine: &Engine) -> Attacker {
        let mut crew = Crew::new();
        crew.start("attacker", bed.attacker(&engine.writer()));
        crew.go();
        Attacker { crew, orders: 0 }
    }

    fn does(&mut self, order: &str) {
        self.crew.tell(0, order);
        self.wait();
    }

    fn wait(&mut self) {
        self.orders += 1;
        let orders = self.orders;
        let done =
            |reports: &[Report]| reports[0].said.iter().filter(|line| *line == "done").count() >= orders;
        self.crew.until(done);
        assert!(done(&self.crew.reports), "the attacker has died: {:?}", self.crew.reports);
    }
}

fn drill(bed: &Bed, engine: &Engine) -> Outcome {
    publish(bed, engine);
    bed.forge(&engine.writer());
    let mut attacker = Attacker::start(bed, engine);
    for (target, attacks) in [("/ac/", &ON_ENTRIES[..]), ("/cas/", &ON_OBJECTS), ("/bundle/", &ON_BUNDLES)] {
        for attack in attacks {
            attacker.does(&format!("attack\t{target}\t{}", attack.0));
            one_host(bed, engine, target, *attack);
            attacker.does(&format!("restore\t{target}"));
        }
    }
    let stormed = storm(bed, engine, &mut attacker);
    let last = Crew::alone("last", bed.patient_host("last", &engine.host(0)));
    bed.assert_right(std::slice::from_ref(&last));
    assert_eq!(last.how_many("fetched"), PLUGINS, "restored: {last:?}");
    assert!(!bed.canary().exists(), "an attacker's code was executed");
    // What the attacker has would have been executed by whoever trusts it, and that would have been seen.
    attacker.does("attack\t/ac/\tby-a-stranger");
    let stranger = SecretKey::load(&bed.path("stranger.key")).unwrap().public();
    trust(&bed.path("trust"), &name("main"), &stranger, "a mistake").unwrap();
    let fool = Crew::alone("fool", bed.patient_host("fool", &engine.host(0)));
    assert!(fool.got.iter().all(|got| got.answer == 666 && got.how == "fetched"), "{fool:?}");
    assert!(bed.canary().exists(), "the canary is no proof of anything");
    let kinds = ON_ENTRIES.len() + ON_OBJECTS.len() + ON_BUNDLES.len();
    Ok(format!("{kinds} kinds of attacks, each seen and refused; {stormed}; 0 bytes executed"))
}

/// A host that meets everywhere what one attack has left: it sees it, and is right.
fn one_host(bed: &Bed, engine: &Engine, target: &str, (kind, seen_in): Attack) {
    let mut host = bed.patient_host("victim", &engine.host(0));
    host.env("FLEET_PULLS", if target == "/bundle/" { "1" } else { "0" });
    let report = Crew::alone("victim", host);
    bed.assert_right(std::slice::from_ref(&report));
    assert!(!bed.canary().exists(), "executed after {kind:?} in {target}: {report:?}");
    let seen = if seen_in.is_empty() { refusals(&report) } else { report.count(seen_in) };
    assert!(seen > 0, "{kind:?} in {target} was not seen in {seen_in:?}: {report:?}");
    let expected = if target == "/bundle/" { "fetched" } else { "built" };
    assert_eq!(report.how_many(expected), PLUGINS, "{kind:?} in {target}: {report:?}");
    forget(&bed.path("victim"));
}

/// Waves of hosts with empty stores, while everything is exchanged all the time.
fn storm(bed: &Bed, engine: &Engine, attacker: &mut Attacker) -> String {
    attacker.crew.tell(0, "storm");
    let (waves, mut hosts, mut fetched, mut refused) = (count("PLUGCACHE_WAVES", 4), 0, 0, 0);
    for _ in 0..waves {
        let mut crew = Crew::new();
        for number in 0..4 {
            let machine = format!("wave{number}");
            let mut host = bed.patient_host(&machine, &engine.host(number));
            host.env("FLEET_PULLS", (number % 2).to_string());
            crew.start(&machine, host);
        }
        crew.go();
        let reports = crew.end();
        bed.assert_right(&reports);
        assert!(!bed.canary().exists(), "executed in the storm: {reports:?}");
        for report in &reports {
            hosts += 1;
            fetched += report.how_many("fetched") + report.how_many("hit");
            refused += refusals(report) + report.count("objects_wrong");
            forget(&bed.path(&report.name));
        }
    }
    attacker.does("calm");
    assert!(fetched > 0 && refused > 0, "{fetched} fetched, {refused} refused");
    let attacks = attacker.crew.reports[0].said.iter().find_map(|line| line.strip_prefix("attacks\t"));
    let attacks = attacks.unwrap_or("no").to_owned();
    format!(
        "{attacks} at random against {hosts} hosts, which fetched {fetched} right ones and refused {refused} wrong ones"
    )
}

fn refusals(report: &Report) -> u64 {
    report.counts.iter().filter(|(name, _)| name.starts_with("refused_")).map(|(_, count)| count).sum()
}
