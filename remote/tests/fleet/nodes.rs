//! Three nodes of Garage, of which some are killed, stopped and started again; and one node, as docs/fleet.md makes it.

use std::time::{Duration, SystemTime};

use plugcache_remote::{
    Check, Examination, Outcome as Found, Prefix, S3Bucket, S3Config, examine, write_rules,
};

use crate::{
    bed::{Bed, assert_same_bytes, name},
    crew::{Crew, Report},
    engines::Engine,
    garage::{Cluster, one_node},
    harness::Outcome,
    hosts::{HOSTS, PLUGINS, publish, summary},
};

crate::tests! { "nodes":
    on_garage_the_commands_for_one_node_make_a_bucket_that_lacks_its_rules_and_takes_them,
    on_garage_a_killed_node_costs_a_publisher_and_ten_hosts_no_error_and_no_compiler,
    on_garage_with_two_of_three_nodes_dead_hosts_compile_in_time_and_fetch_once_they_are_back,
    on_garage_a_node_that_is_silent_costs_hosts_seconds_in_all,
}

fn on_garage_the_commands_for_one_node_make_a_bucket_that_lacks_its_rules_and_takes_them() -> Outcome {
    let bed = Bed::new(3);
    let (_node, access) = one_node(&bed)?;
    let mut config = S3Config::new(&access.bucket);
    config.endpoint = Some(access.endpoint.clone());
    config.region = Some("garage".into());
    config.allow_http = true;
    let bucket = S3Bucket::open_with(&config, &access.key_id, &access.secret).unwrap();
    let (prefix, main) = (Prefix::new("fleet").unwrap(), name("main"));
    let of = Examination {
        prefix: &prefix,
        namespaces: std::slice::from_ref(&main),
        writes_to: Some(&main),
        number: 1,
        now: SystemTime::now(),
    };
    // A new bucket lacks the rules that remove what is old, and nothing else; they can be written over S3.
    let wrong = |checks: Vec<Check>| checks.into_iter().filter(|check| check.outcome == Found::Wrong);
    let lacking: Vec<_> = wrong(examine(&bucket, of)).map(|check| check.what).collect();
    assert_eq!(lacking, ["lifecycle"]);
    assert!(write_rules(&bucket, &prefix, std::slice::from_ref(&main)).unwrap());
    assert_eq!(wrong(examine(&bucket, of)).count(), 0, "{:?}", examine(&bucket, of));
    let publisher = Crew::alone("publisher", bed.publisher("publisher", &access));
    let host = Crew::alone("host", bed.patient_host("host", &access));
    assert_eq!(host.how_many("fetched"), 3, "{host:?}");
    let reports = [publisher, host];
    bed.assert_right(&reports);
    Ok(summary(&bed, &reports))
}

/// One is killed while the publisher is at work and comes back without what was brought meanwhile; then another is killed
/// while ten hosts fetch, and comes back too.
fn on_garage_a_killed_node_costs_a_publisher_and_ten_hosts_no_error_and_no_compiler() -> Outcome {
    let bed = Bed::new(PLUGINS);
    let mut cluster = Cluster::start(&bed)?;
    let mut crew = Crew::new();
    crew.start("publisher", bed.publisher("publisher", &cluster.publisher(1)));
    crew.go();
    crew.until(|reports| reports[0].got.len() >= PLUGINS / 3);
    cluster.nodes[1].kill();
    let mut reports = crew.end();
    let brought = (reports[0].count("published"), reports[0].count("not_published"));
    assert_eq!(brought, (PLUGINS as u64, 0), "{reports:?}");
    cluster.bring_back(&[1]);

    let mut crew = Crew::new();
    for number in 0..HOSTS {
        let machine = format!("host{number}");
        let mut host = bed.patient_host(&machine, &cluster.host(number));
        host.env("FLEET_PAUSE_MS", "30");
        crew.start(&machine, host);
    }
    let loaded = |reports: &[Report]| reports.iter().map(|report| report.got.len()).sum::<usize>();
    let all = HOSTS * PLUGINS;
    crew.go();
    crew.until(|reports| loaded(reports) >= all / 4);
    cluster.nodes[0].kill();
    let at_kill = loaded(&crew.reports);
    crew.until(|reports| loaded(reports) >= all * 3 / 4);
    cluster.bring_back(&[0]);
    let at_start = loaded(&crew.reports);
    reports.extend(crew.end());
    bed.assert_right(&reports);
    bed.assert_compiled_once();
    assert_same_bytes(&reports);

    // What came back is no worse than the others: asked alone it has everything.
    let mut last = cluster.host(0);
    last.endpoint = cluster.nodes[0].endpoint();
    let late = Crew::alone("late", bed.patient_host("late", &last));
    assert_eq!(late.how_many("fetched"), PLUGINS, "{late:?}");
    Ok(format!("{}; killed after {at_kill} of {all} loads, back after {at_start}", summary(&bed, &reports)))
}

/// Three hosts with the usual deadlines, each with another node first.
fn three_hosts(bed: &Bed, cluster: &Cluster) -> Vec<Report> {
    let mut crew = Crew::new();
    for number in 0..3 {
        let machine = format!("host{number}");
        crew.start(&machine, bed.host(&machine, &cluster.host(number)));
    }
    crew.go();
    crew.end()
}

fn on_garage_with_two_of_three_nodes_dead_hosts_compile_in_time_and_fetch_once_they_are_back() -> Outcome {
    let bed = Bed::new(PLUGINS);
    let mut engine = Engine::garage(&bed)?;
    publish(&bed, &engine);
    let Engine::Garage(cluster) = &mut engine else { unreachable!("it was made as one") };
    cluster.nodes[0].kill();
    cluster.nodes[2].kill();
    let reports = three_hosts(&bed, cluster);
    bed.assert_right(&reports);
    let waited = assert_in_time(&reports);
    assert_eq!(bed.compiled().len(), 4 * PLUGINS, "each of the three has compiled everything");
    cluster.bring_back(&[0, 2]);
    let late = Crew::alone("late", bed.patient_host("late", &cluster.host(0)));
    bed.assert_right(std::slice::from_ref(&late));
    assert_eq!(late.how_many("fetched"), PLUGINS, "{late:?}");
    Ok(format!("{}; waited for nodes in all, by host: {waited:.0?}", summary(&bed, &reports)))
}

/// The deadlines that docs/fleet.md states: of one lookup, and of all together, for a breaker opens.
#[track_caller]
fn assert_in_time(reports: &[Report]) -> Vec<Duration> {
    for report in reports {
        assert!(report.waited_max() < Duration::from_millis(5_500), "{report:?}");
    }
    let waited: Vec<_> =
        reports.iter().map(|report| report.got.iter().map(|got| got.waited).sum::<Duration>()).collect();
    assert!(waited.iter().all(|waited| *waited < Duration::from_secs(12)), "{waited:?}");
    waited
}

/// It takes connections and says nothing: worse than a dead one, for nobody is refused.
fn on_garage_a_node_that_is_silent_costs_hosts_seconds_in_all() -> Outcome {
    let bed = Bed::new(PLUGINS);
    let engine = Engine::garage(&bed)?;
    publish(&bed, &engine);
    let Engine::Garage(cluster) = &engine else { unreachable!("it was made as one") };
    cluster.nodes[0].stop();
    let reports = three_hosts(&bed, cluster);
    cluster.nodes[0].go_on();
    bed.assert_right(&reports);
    let waited = assert_in_time(&reports);
    Ok(format!("{}; waited for nodes in all, by host: {waited:.0?}", summary(&bed, &reports)))
}
