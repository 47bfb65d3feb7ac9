//! `remote doctor`: what hosts need of the tier, tried; and the rules by which its engine removes what is old.

use super::{bucket, number, place_of, settings};
use crate::{
    args::remote::DoctorArgs,
    exit::{Done, Exit, Fail, chain},
    out::{
        Out,
        style::{Paint, Style},
        table::plain,
    },
    tier::Settings,
};
use plugcache_remote::{
    BucketError, Check, Examination, Keeper, Name, Outcome, examine, lifecycle_rules, write_rules,
};
use serde::Serialize;
use std::time::SystemTime;

#[derive(Serialize)]
struct Report {
    config: String,
    checks: Vec<Told>,
}

/// As `plugcache doctor` tells it.
#[derive(Serialize)]
struct Told {
    what: &'static str,
    verdict: &'static str,
    found: String,
    advice: Option<String>,
}

impl Told {
    fn new(what: &'static str, outcome: Outcome, found: String, advice: Option<&str>) -> Told {
        let verdict = match outcome {
            Outcome::Right => "good",
            Outcome::Look => "warning",
            Outcome::Wrong => "bad",
        };
        Told { what, verdict, found, advice: advice.map(str::to_owned) }
    }
}

/// Ends with 1 if anything is bad, or was to be mended and could not.
pub(super) fn doctor(args: &DoctorArgs) -> Done {
    let settings = settings()?;
    let namespaces = namespaces(&settings);
    let mut out = Out::new();
    if args.rules {
        out.bytes(lifecycle_rules(&settings.prefix, &namespaces).as_bytes())?;
        out.finish()?;
        return Ok(Exit::Success);
    }
    let report = look(&settings, &namespaces, args.fix)?;
    if args.json.json {
        out.json("remote-doctor", &report)?;
    } else {
        print(&mut out, &report)?;
    }
    out.finish()?;
    let is_bad = report.checks.iter().any(|check| check.verdict == "bad");
    Ok(if is_bad { Exit::Failure } else { Exit::Success })
}

/// Those that are read, and the one that is published in.
fn namespaces(settings: &Settings) -> Vec<Name> {
    let mut namespaces = settings.namespaces.clone();
    let own = settings.publish.iter().map(|publish| publish.namespace.clone());
    namespaces.extend(own.filter(|own| !settings.namespaces.contains(own)));
    namespaces
}

fn look(settings: &Settings, namespaces: &[Name], fix: bool) -> Result<Report, Fail> {
    let bucket = bucket(settings)?;
    let mut checks = vec![Told::new("bucket", Outcome::Right, place_of(settings), None), trust(settings)];
    checks.extend(publisher(settings));
    let found = examine(
        &bucket,
        Examination {
            prefix: &settings.prefix,
            namespaces,
            writes_to: settings.publish.as_ref().map(|publish| &publish.namespace),
            number: number(),
            now: SystemTime::now(),
        },
    );
    let answers = found.first().is_some_and(|check| check.outcome != Outcome::Wrong);
    let has_rules = found.iter().any(|check| check.what == "lifecycle" && check.outcome == Outcome::Right);
    let stays = |check: &Check| !(fix && check.what == "lifecycle" && !has_rules);
    checks.extend(found.into_iter().filter(stays).map(told));
    if fix && answers && !has_rules {
        checks.push(mend(&bucket, settings, namespaces));
    }
    Ok(Report { config: settings.file.display().to_string(), checks })
}

fn told(check: Check) -> Told {
    let advice = match (check.what, check.outcome) {
        (_, Outcome::Right) => None,
        ("lifecycle", _) => {
            Some("`plugcache remote doctor --fix` writes the rules; or `remote gc` once a day")
        }
        ("reading", _) => Some("see the endpoint, the region, the bucket and the credentials"),
        ("writing", Outcome::Wrong) => Some("allow s3:PutObject and s3:GetObject below this prefix"),
        ("clocks", Outcome::Wrong) => Some("set the clock: entries are believed for a time"),
        _ => None,
    };
    Told::new(check.what, check.outcome, check.found, advice)
}

/// A namespace in which nobody is believed gives nothing.
fn trust(settings: &Settings) -> Told {
    let what = "trust";
    let trust = match settings.trusted() {
        Ok(trust) => trust,
        Err(why) => {
            return Told::new(what, Outcome::Wrong, why, Some("`plugcache key trust PUBLIC` makes the file"));
        }
    };
    let nobody: Vec<_> = settings.namespaces.iter().filter(|name| trust.keys_in(name) == 0).collect();
    if let Some(name) = nobody.first() {
        let found = format!("nobody is believed in {name}: nothing of it is ever used");
        return Told::new(what, Outcome::Wrong, found, Some("`plugcache key trust PUBLIC --namespace NAME`"));
    }
    Told::new(what, Outcome::Right, format!("as {} says", settings.trust.display()), None)
}

fn publisher(settings: &Settings) -> Option<Told> {
    let what = "key";
    settings.publish.as_ref()?;
    let publisher = match settings.publisher() {
        Ok(publisher) => publisher,
        Err(why) => return Some(Told::new(what, Outcome::Wrong, why, Some("`plugcache key new` makes one"))),
    };
    let id = publisher.key.id();
    let is_believed = settings.trusted().is_ok_and(|trust| trust.believes(&publisher.namespace, &id));
    if !is_believed {
        let found = format!("{id} is not believed in {} on this machine", publisher.namespace);
        let advice = "if hosts shall believe it: `plugcache key trust PUBLIC` on each of them";
        return Some(Told::new(what, Outcome::Look, found, Some(advice)));
    }
    Some(Told::new(what, Outcome::Right, format!("{id}, believed in {}", publisher.namespace), None))
}

/// Writes the rules, and reads them back.
fn mend(bucket: &dyn Keeper, settings: &Settings, namespaces: &[Name]) -> Told {
    let what = "lifecycle";
    match write_rules(bucket, &settings.prefix, namespaces) {
        Ok(_) => Told::new(what, Outcome::Right, "the rules were written, and read back".into(), None),
        Err(BucketError::Unsupported) => {
            let advice = "let a job run `plugcache remote gc` once a day: it does the same";
            Told::new(what, Outcome::Wrong, "this engine has no such rules".into(), Some(advice))
        }
        Err(error) => {
            let endpoint = settings.endpoint.as_ref().map(|at| format!(" --endpoint-url {at}"));
            let advice = format!(
                "with keys that may: plugcache remote doctor --rules >rules.json && aws s3api \
                 put-bucket-lifecycle-configuration --bucket {}{} --lifecycle-configuration file://rules.json",
                settings.bucket,
                endpoint.unwrap_or_default()
            );
            let found = format!("the rules could not be written: {}", chain(&error));
            Told::new(what, Outcome::Wrong, found, Some(&advice))
        }
    }
}

fn print(out: &mut Out, report: &Report) -> Result<(), Fail> {
    let paint = Paint::of_stdout();
    for check in &report.checks {
        let (style, word) = match check.verdict {
            "good" => (Style::Good, "ok  "),
            "warning" => (Style::Warn, "warn"),
            _ => (Style::Bad, "BAD "),
        };
        out.line(format!("{} {:<10} {}", paint.paint(style, word), check.what, plain(&check.found)))?;
        if let Some(advice) = &check.advice {
            out.line(format!("{:16}{} {advice}", "", paint.paint(Style::Bold, "do:")))?;
        }
    }
    Ok(())
}
