//! What can be found out about a bucket before a fleet depends on it, and what somebody has to look at themselves.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use crate::{
    bucket::{Ask, Bucket, BucketError, Keeper, Limits},
    lifecycle::missing_rules,
    name::Name,
    paths::{Place, Prefix},
    sign::CLOCK_TOLERANCE,
};

/// Where nothing else is stored.
const PROBE: &[u8] = b"plugcache doctor\n";
const LIMITS: Limits = Limits {
    first_byte: Duration::from_secs(10),
    stall: Duration::from_secs(10),
    total: Duration::from_secs(20),
};
/// A rule of 30 days that runs once a day has removed what is of this age.
const LATE: Duration = Duration::from_secs(33 * 24 * 3600);

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Right.
    Right,
    /// It could not be found out, or wants looking at.
    Look,
    /// Wrong.
    Wrong,
}

/// One check, and what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was checked.
    pub what: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found, and what to do.
    pub found: String,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Right => "ok",
            Outcome::Look => "look",
            Outcome::Wrong => "WRONG",
        };
        write!(f, "{outcome:<6} {}: {}", self.what, self.found)
    }
}

/// What is to be examined.
#[derive(Clone, Copy, Debug)]
pub struct Examination<'a> {
    /// Where in the bucket.
    pub prefix: &'a Prefix,
    /// The namespaces whose rules for removing what is old are looked at.
    pub namespaces: &'a [Name],
    /// In which namespace a file is written and removed, if this host may write.
    pub writes_to: Option<&'a Name>,
    /// Makes the name of that file one that nobody else uses.
    pub number: u64,
    /// The clock of this machine.
    pub now: SystemTime,
}

/// Examines a bucket: whether it answers, what may be done there, whether clocks agree, and what is known of its rules for
/// removing what is old.
pub fn examine(bucket: &dyn Keeper, of: Examination<'_>) -> Vec<Check> {
    let mut checks = vec![reads(bucket, of)];
    if checks[0].outcome == Outcome::Wrong {
        return checks;
    }
    checks.extend(match of.writes_to {
        Some(namespace) => writes(bucket, of, namespace),
        None => vec![check("writing", Outcome::Look, "not tried: this host only reads")],
    });
    checks.push(rules(bucket, of));
    checks
}

fn check(what: &'static str, outcome: Outcome, found: impl Into<String>) -> Check {
    Check { what, outcome, found: found.into() }
}

/// Asks an engine for something that is not there, which may take this long; `number` makes its name one that nobody uses.
///
/// # Errors
/// It does not say that it is not there.
pub fn reach(bucket: &dyn Bucket, prefix: &Prefix, number: u64, wait: Duration) -> Result<(), BucketError> {
    let path = format!("{}/doctor-reads/{number:016x}", prefix.root());
    let limits = Limits { first_byte: wait, stall: wait, total: wait };
    let ask = Ask { from: 0, len_max: 0, limits };
    match bucket.get(&path, &ask, &mut Vec::new()) {
        Err(BucketError::NotFound) => Ok(()),
        answer => answer.and(Err(BucketError::TooLong)),
    }
}

/// Of what is not there: an engine that says "forbidden" instead would turn every miss into a mistake.
fn reads(bucket: &dyn Keeper, of: Examination<'_>) -> Check {
    match reach(bucket, of.prefix, of.number, LIMITS.total) {
        Ok(()) => check("reading", Outcome::Right, "a file that is not there is said not to be"),
        Err(BucketError::Misconfigured(why)) => {
            let more = "; Amazon says 403 for what is not there to who may not list: allow s3:ListBucket";
            check("reading", Outcome::Wrong, why + more)
        }
        Err(BucketError::TooLong) => {
            check("reading", Outcome::Wrong, "there is a file at a name that nobody wrote")
        }
        Err(error) => check("reading", Outcome::Wrong, error.to_string()),
    }
}

fn writes(bucket: &dyn Keeper, of: Examination<'_>, namespace: &Name) -> Vec<Check> {
    let path = of.prefix.probe(namespace, of.number);
    if let Err(error) = bucket.put(&path, PROBE.into(), &LIMITS) {
        return vec![check("writing", Outcome::Wrong, error.to_string())];
    }
    let mut bytes = Vec::new();
    let ask = Ask { from: 0, len_max: PROBE.len() as u64, limits: LIMITS };
    let read = bucket.get(&path, &ask, &mut bytes);
    let mut checks = vec![match read {
        Ok(_) if bytes == PROBE => check("writing", Outcome::Right, "what was put is there"),
        Ok(_) => check("writing", Outcome::Wrong, "what was put came back as something else"),
        Err(error) => check("writing", Outcome::Wrong, format!("what was put cannot be read: {error}")),
    }];
    checks.push(match bucket.head(&path, &LIMITS) {
        Ok(head) => clocks(head.modified, of.now),
        Err(error) => check("clocks", Outcome::Look, format!("not found out: {error}")),
    });
    checks.push(match bucket.delete(&path, &LIMITS) {
        Ok(()) => check("removing", Outcome::Right, "allowed, which only the job that clears up needs"),
        Err(_) => {
            check("removing", Outcome::Look, format!("not allowed, which hosts do not need; {path} stays"))
        }
    });
    checks
}

fn clocks(engine: SystemTime, ours: SystemTime) -> Check {
    let apart = engine.duration_since(ours).or_else(|_| ours.duration_since(engine)).unwrap_or_default();
    let found = format!("this machine and the engine are {} s apart", apart.as_secs());
    let right = apart < CLOCK_TOLERANCE / 2;
    check("clocks", if right { Outcome::Right } else { Outcome::Wrong }, found)
}

/// The rules themselves, if the engine tells them; else what they should have removed shows whether they are there.
fn rules(bucket: &dyn Keeper, of: Examination<'_>) -> Check {
    match missing_rules(bucket, of.prefix, of.namespaces) {
        Ok(missing) if missing.is_empty() => {
            check("lifecycle", Outcome::Right, "the engine has a rule for everything that grows")
        }
        Ok(missing) => {
            let found = format!("no rule of the engine removes what is old below {}", missing.join(", "));
            check("lifecycle", Outcome::Wrong, found)
        }
        Err(error) => left_over(bucket, of, &error),
    }
}

fn left_over(bucket: &dyn Keeper, of: Examination<'_>, unread: &BucketError) -> Check {
    let (mut late, mut files) = (0_u64, 0_u64);
    let listed = bucket.list(&of.prefix.root(), &mut |path, head| {
        if matches!(of.prefix.place(path), Some(Place::Object(_))) {
            files += 1;
            late += u64::from(of.now.duration_since(head.modified).unwrap_or_default() > LATE);
        }
    });
    let unread = format!("its rules are not known: {unread}");
    let (outcome, found) = match listed {
        Err(error) => (Outcome::Look, format!("the bucket cannot be listed ({error}); {unread}")),
        Ok(()) if late > 0 => {
            (Outcome::Wrong, format!("{late} of {files} objects are older than 33 days; {unread}"))
        }
        Ok(()) => (Outcome::Look, format!("none of {files} objects is older than 33 days; {unread}")),
    };
    check("lifecycle", outcome, found)
}
