//! Hosts with empty stores, on both engines: nobody compiles what was published, and who is killed while fetching is right
//! the next time.

use std::{thread, time::Duration};

use crate::{
    bed::{Bed, assert_same_bytes, forget},
    crew::{Crew, Report},
    engines::Engine,
    harness::{Outcome, count},
};

crate::tests! { "hosts":
    on_s3s_fs_ten_hosts_with_empty_stores_start_no_compiler_after_the_publisher,
    on_garage_ten_hosts_with_empty_stores_start_no_compiler_after_the_publisher,
    on_s3s_fs_a_host_that_is_killed_while_it_fetches_is_right_the_next_time,
    on_garage_a_host_that_is_killed_while_it_fetches_is_right_the_next_time,
}

pub(crate) const PLUGINS: usize = 12;
pub(crate) const HOSTS: usize = 10;

fn on_s3s_fs_ten_hosts_with_empty_stores_start_no_compiler_after_the_publisher() -> Outcome {
    let bed = Bed::new(PLUGINS);
    ten_hosts(&bed, &Engine::s3s(&bed))
}

fn on_garage_ten_hosts_with_empty_stores_start_no_compiler_after_the_publisher() -> Outcome {
    let bed = Bed::new(PLUGINS);
    ten_hosts(&bed, &Engine::garage(&bed)?)
}

fn on_s3s_fs_a_host_that_is_killed_while_it_fetches_is_right_the_next_time() -> Outcome {
    let bed = Bed::new(PLUGINS);
    killed_hosts(&bed, &Engine::s3s(&bed))
}

fn on_garage_a_host_that_is_killed_while_it_fetches_is_right_the_next_time() -> Outcome {
    let bed = Bed::new(PLUGINS);
    killed_hosts(&bed, &Engine::garage(&bed)?)
}

fn ten_hosts(bed: &Bed, engine: &Engine) -> Outcome {
    let mut reports = vec![publish(bed, engine)];
    let mut crew = Crew::new();
    for number in 0..HOSTS {
        let machine = format!("host{number}");
        let mut host = bed.patient_host(&machine, &engine.host(number));
        // Every other one takes the whole release by one lookup.
        host.env("FLEET_PULLS", (number % 2).to_string());
        crew.start(&machine, host);
    }
    crew.go();
    let hosts = crew.end();
    for (number, host) in hosts.iter().enumerate() {
        let how = if number % 2 == 1 { "hit" } else { "fetched" };
        assert_eq!((host.how_many(how), host.count("objects_wrong")), (PLUGINS, 0), "{host:?}");
    }
    reports.extend(hosts);
    bed.assert_right(&reports);
    bed.assert_compiled_once();
    assert_same_bytes(&reports);
    Ok(summary(bed, &reports))
}

/// Builds all and brings it.
pub(crate) fn publish(bed: &Bed, engine: &Engine) -> Report {
    let publisher = Crew::alone("publisher", bed.publisher("publisher", &engine.writer()));
    bed.assert_right(std::slice::from_ref(&publisher));
    assert_eq!(publisher.count("published"), bed.plugins as u64, "{publisher:?}");
    publisher
}

pub(crate) fn summary(bed: &Bed, reports: &[Report]) -> String {
    let loads: usize = reports.iter().map(|report| report.got.len()).sum();
    let fetched: usize = reports.iter().map(|report| report.how_many("fetched")).sum();
    let failures: u64 = reports.iter().map(|report| report.count("failures")).sum();
    let slowest = reports.iter().map(Report::waited_max).max().unwrap_or_default();
    format!(
        "{} processes, {loads} plugins loaded, {fetched} of them fetched, {} compilers started, {failures} calls failed, \
         slowest {slowest:.0?}",
        reports.len(),
        bed.compiled().len(),
    )
}

fn killed_hosts(bed: &Bed, engine: &Engine) -> Outcome {
    publish(bed, engine);
    let (rounds, mut in_the_middle) = (count("PLUGCACHE_ROUNDS", 8), 0);
    for round in 0..rounds {
        let mut crew = Crew::new();
        let killed = crew.start("host", bed.patient_host("host", &engine.host(round)));
        crew.go();
        let wanted = 1 + round % PLUGINS;
        crew.until(|reports| reports[killed].began >= wanted);
        thread::sleep(Duration::from_micros(700 * (round as u64 % 13)));
        crew.kill(killed);
        let report = crew.end().remove(killed);
        in_the_middle += usize::from(report.began > report.got.len());
        let next = Crew::alone("host", bed.patient_host("host", &engine.host(round)));
        bed.assert_right(std::slice::from_ref(&next));
        let known = report.got.len().min(next.how_many("hit"));
        assert_eq!(known, report.got.len(), "what had come is there: {next:?}");
        forget(&bed.path("host"));
    }
    bed.assert_compiled_once();
    assert!(in_the_middle * 4 >= rounds, "{in_the_middle} of {rounds} were killed while they fetched");
    Ok(format!(
        "{rounds} hosts killed, {in_the_middle} of them while they fetched, 0 wrong, 0 compilers started"
    ))
}
