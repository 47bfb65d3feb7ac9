//! Finding out why some sources hit or miss, without changing anything: nothing is touched, set aside or counted.
//!
//! First what a find would do; where it finds no entry of the key, what is remembered of one that was dropped; and
//! else the entry that is nearest, compared field by field.

use std::{
    cmp::Reverse,
    collections::HashMap,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use super::{
    Inner, Store,
    add::hash_of_list,
    explain::{Explanation, Recorded, Why},
    inputs::Moves,
    report::Entry,
    root::Root,
    tier::TierKey,
};
use crate::{
    config::Verify,
    digest::ObjectDigest,
    format::record::{Details, Field, FieldTag, OutputRecord, PartRecord, Put, Recipe, Value},
    fs,
    manifest::NoView,
    objects::{self, Unopened},
    sources::{self, Sources},
    sync::Arc,
};

/// So many entries with the same source names, and so many of the newest, are compared.
const COMPARED_MAX: usize = 1024;
const DAY_SECONDS: u64 = 24 * 60 * 60;

impl Store {
    /// Why a find of these sources hits or misses: what changed, since when, and what to do about it.
    ///
    /// Never an error, and never a change: nothing is recorded, set aside or counted. It looks at what
    /// [`find`](Store::find) would look at, and on a miss compares with the entry that is nearest (up to 1024 with the
    /// same source names, else the newest 1024), so it costs up to some milliseconds. Not guaranteed: that another process
    /// has not changed the store since the find that is asked about.
    pub fn explain(&self, sources: &Sources) -> Explanation {
        self.0.explain(sources)
    }
}

impl Inner {
    pub(super) fn explain(&self, sources: &Sources) -> Explanation {
        let explained = self.explain_unless_unusable(sources);
        let mut explanation = explained.unwrap_or_else(|why| Explanation::of(Why::Unusable { why }));
        if !matches!(explanation.why, Why::Hit)
            && let Some(below) = self.explain_below(sources)
        {
            explanation = below;
        }
        explanation.unstorable = self.why_unstorable();
        explanation.tier = self.what_the_tier_said(sources).filter(|_| !explanation.is_hit());
        explanation
    }

    fn what_the_tier_said(&self, sources: &Sources) -> Option<String> {
        self.tier.as_ref()?;
        let key = TierKey::new(sources.digest(), self.exec().ok()?);
        self.asked.said(&key).map(|said| said.to_string())
    }

    fn why_unstorable(&self) -> Option<String> {
        if let Some(why) = self.why_disabled() {
            return Some(why);
        }
        if self.config.readonly() || self.is_read_only() {
            return Some("the store is read-only".into());
        }
        (self.config.max_files() == 0).then(|| "max_files is 0".into())
    }

    /// `Err`: why there is no store to look into.
    fn explain_unless_unusable(&self, sources: &Sources) -> Result<Explanation, String> {
        if let Some(why) = self.why_disabled() {
            return Err(why);
        }
        let Some(root) = self.root().map_err(|error| with_cause(&error))? else {
            return Ok(Explanation::of(Why::NeverSeen));
        };
        let exec = self.exec()?;
        root.manifest.refresh().map_err(|none| match none {
            NoView::Trouble(trouble) => with_cause(&trouble),
            NoView::Foreign => "a later version wrote it".into(),
        })?;
        let source = *sources.digest().as_bytes();
        let of_key = root.manifest.of_source(&source);
        let mut candidates = of_key.clone();
        super::find::own_first(&mut candidates, &exec, self.config.try_old_cache_with_new_exec());
        if !candidates.is_empty() {
            return Ok(self.explain_found(&root, &candidates, sources));
        }
        if let Some(note) = root.manifest.dropped(&source, &exec) {
            let when = SystemTime::UNIX_EPOCH + Duration::from_millis(note.when_ms);
            return Ok(Explanation::of(Why::Dropped { when, rule: note.rule.into() }));
        }
        if let Some(others) = of_key.into_iter().next() {
            let why = Why::OtherExec { made_by: others.exec, this: exec };
            return Ok(Explanation { nearest: Some(Entry::new(others)), ..Explanation::of(why) });
        }
        Ok(self.compare_with_nearest(&root, sources, &exec))
    }

    /// What is the matter with entries of the key itself, as [`find`](Store::find) would go through them.
    pub(super) fn explain_found(
        &self,
        root: &Arc<Root>,
        puts: &[Arc<Put>],
        sources: &Sources,
    ) -> Explanation {
        let mut newest = None;
        for put in puts {
            let of_it = |why| Explanation { nearest: Some(Entry::new(put.clone())), ..Explanation::of(why) };
            match self.inspect(root, put, sources) {
                Ok(()) => return of_it(Why::Hit),
                Err(why) => newest = newest.or_else(|| Some(of_it(*why))),
            }
        }
        newest.unwrap_or_else(|| Explanation::of(Why::NeverSeen))
    }

    /// Whether everything that an entry needs is right.
    fn inspect(&self, root: &Arc<Root>, put: &Put, sources: &Sources) -> Result<(), Box<Why>> {
        let spilled = match put.spilled() {
            Some(output) => Some(self.read_details(root, output)?),
            None => None,
        };
        if let Some(details) = spilled.as_ref().or_else(|| put.details()) {
            self.inspect_inputs(details, put, sources)?;
        }
        put.visible().iter().try_for_each(|output| self.inspect_output(root, output))
    }

    fn inspect_inputs(&self, details: &Details, put: &Put, sources: &Sources) -> Result<(), Box<Why>> {
        let moves = Moves::since(&details.recipe, sources);
        for input in &details.discovered {
            let path = moves.now(fs::text_of(&input.path).into());
            let (now, was) = (
                sources::digest_path(&self.fs, self.memo(), &path).ok(),
                ObjectDigest::from_bytes(input.digest),
            );
            if now != Some(was) {
                return Err(Box::new(Why::InputChanged { path, was, now, last_right: last_right(put) }));
            }
        }
        Ok(())
    }

    fn inspect_output(&self, root: &Root, output: &OutputRecord) -> Result<(), Box<Why>> {
        let digest = ObjectDigest::from_bytes(output.object);
        let damaged = || {
            let set_aside = root.objects.aside(&digest).map(|below| root.path.join(below));
            Box::new(Why::Damaged { object: digest, set_aside })
        };
        let right = |is_right: bool| if is_right { Ok(()) } else { Err(damaged()) };
        if let Some(bytes) = &output.packed {
            return right(ObjectDigest::of_bytes(bytes) == digest && bytes.len() as u64 == output.len);
        }
        let unreadable =
            |why: String| Box::new(Why::Unusable { why: format!("{}: {why}", root.path.display()) });
        let hashes_right = |file: &fs::File| {
            let found =
                objects::hash_of(file).map_err(|error| unreadable(format!("object {digest}: {error}")))?;
            right(found == digest)
        };
        match root.objects.open(&digest) {
            Ok(lease) if lease.len() != output.len => Err(damaged()),
            Ok(lease) => {
                let trusted = self.config.verify() == Verify::OncePerBoot
                    && root.objects.is_vouched(&digest, &lease, &output.stamp);
                if trusted { Ok(()) } else { hashes_right(&lease.file) }
            }
            Err(Unopened::Busy(file)) => hashes_right(&file),
            Err(Unopened::Missing | Unopened::NotAFile) => Err(damaged()),
            Err(Unopened::Refused(trouble)) => Err(unreadable(with_cause(&trouble))),
        }
    }

    /// The details of an entry that lie in an object of their own.
    fn read_details(&self, root: &Arc<Root>, output: &OutputRecord) -> Result<Details, Box<Why>> {
        self.inspect_output(root, output)?;
        let digest = ObjectDigest::from_bytes(output.object);
        let bytes = match root.objects.open(&digest) {
            Ok(lease) => objects::read_all(&lease.file).ok(),
            Err(Unopened::Busy(file)) => root.objects.read_right(&digest, &file),
            Err(_) => None,
        };
        let details = bytes.and_then(|bytes| Details::of_bytes(&bytes).ok());
        details.ok_or_else(|| Box::new(Why::Damaged { object: digest, set_aside: None }))
    }

    fn compare_with_nearest(&self, root: &Arc<Root>, sources: &Sources, exec: &[u8; 32]) -> Explanation {
        let recipe = sources.to_recipe();
        let names = hash_of_list(recipe.parts.iter().map(|part| &part.name));
        let mut best: Option<(_, Arc<Put>, Vec<Why>)> = None;
        for put in root.manifest.alike(names, COMPARED_MAX) {
            let likeness = Likeness {
                label: put.label == sources.label(),
                names: put.names == names,
                kind: put.details().is_some_and(|details| details.recipe.kind == recipe.kind),
            };
            if likeness == Likeness::default() {
                continue;
            }
            let changes = put.details().map(|details| changes(&details.recipe, &recipe, last_right(&put)));
            let few = Reverse(changes.as_ref().map_or(usize::MAX, Vec::len));
            let rank = (likeness, few, put.exec == *exec, put.order);
            if best.as_ref().is_none_or(|(known, ..)| *known < rank) {
                best = Some((rank, put, changes.unwrap_or_default()));
            }
        }
        let Some(((likeness, ..), put, mut changes)) = best else {
            return Explanation::of(Why::NeverSeen);
        };
        if let Some(Ok(details)) = put.spilled().map(|output| self.read_details(root, output)) {
            changes = self::changes(&details.recipe, &recipe, last_right(&put));
        }
        if !likeness.label && !likeness.names {
            // Another plugin of the same kind: its sources say nothing about these.
            changes.retain(|change| !matches!(change, Why::SourceChanged { .. } | Why::SourcesReordered));
            changes.insert(0, Why::NeverSeen);
        }
        if put.exec != *exec {
            changes.push(Why::OtherExec { made_by: put.exec, this: *exec });
        }
        let mut changes = changes.into_iter();
        let why = changes.next().unwrap_or(Why::NeverSeen);
        Explanation { also: changes.collect(), nearest: Some(Entry::new(put)), ..Explanation::of(why) }
    }
}

/// What an entry has in common with what is asked for; the first one counts most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Likeness {
    label: bool,
    names: bool,
    kind: bool,
}

fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// When an entry was last made or used.
fn last_right(put: &Put) -> SystemTime {
    let made = Duration::from_millis(put.made_ms);
    SystemTime::UNIX_EPOCH + made.max(Duration::from_secs(u64::from(put.day) * DAY_SECONDS))
}

/// All that differs between two descriptions.
fn changes(was: &Recipe, now: &Recipe, last_right: SystemTime) -> Vec<Why> {
    let mut found = Vec::new();
    if was.kind != now.kind {
        found.push(Why::KindChanged { was: was.kind.clone(), now: now.kind.clone() });
    }
    let toolchain = named_changes(was, now, &[FieldTag::Toolchain]);
    found.extend(toolchain.map(|(name, was, now)| Why::ToolchainChanged { name, was, now }));
    let options = |recipe: &Recipe| -> Vec<Value> {
        let of_tag = recipe.fields.iter().filter(|field| field.tag == FieldTag::Option);
        of_tag.map(|field| field.value.clone()).collect()
    };
    let (options_was, options_now) = (options(was), options(now));
    let same = options_was.len() == options_now.len()
        && options_was.iter().zip(&options_now).all(|(was, now)| is_same(was, now));
    if !same {
        let [was, now] = [options_was, options_now].map(|values| values.iter().map(recorded).collect());
        found.push(Why::OptionsChanged { was, now });
    }
    let context = named_changes(was, now, &[FieldTag::Context]);
    found.extend(context.map(|(name, was, now)| Why::ContextChanged { name, was, now }));
    let env = named_changes(was, now, &[FieldTag::Env, FieldTag::EnvUnset]);
    found.extend(env.map(|(name, was, now)| Why::EnvChanged { name, was, now }));
    let before = found.len();
    found.extend(part_changes(&was.parts, &now.parts, last_right));
    let names = |parts: &[PartRecord]| parts.iter().map(|part| part.name.clone()).collect::<Vec<_>>();
    if found.len() == before && names(&was.parts) != names(&now.parts) {
        found.push(Why::SourcesReordered);
    }
    found
}

/// Fields of these tags that are not in both, or with different values; by name, several of one name in order.
fn named_changes<'a>(
    was: &'a Recipe,
    now: &'a Recipe,
    tags: &'a [FieldTag],
) -> impl Iterator<Item = (String, Recorded, Recorded)> + 'a {
    let of_tags = |recipe: &'a Recipe| recipe.fields.iter().filter(move |field| tags.contains(&field.tag));
    let value = |field: Option<&Field>| match field {
        Some(field) if field.tag != FieldTag::EnvUnset => recorded(&field.value),
        _ => Recorded::Unset,
    };
    paired(of_tags(was), of_tags(now), |field| &field.name).into_iter().filter_map(move |(name, was, now)| {
        let same = match (was, now) {
            (Some(was), Some(now)) => was.tag == now.tag && is_same(&was.value, &now.value),
            _ => false,
        };
        (!same).then(|| (name.clone(), value(was), value(now)))
    })
}

fn part_changes(was: &[PartRecord], now: &[PartRecord], last_right: SystemTime) -> Vec<Why> {
    let digest = |part: &PartRecord| ObjectDigest::from_bytes(part.digest);
    let path = |part: &PartRecord| part.path.as_ref().map(|path| PathBuf::from(fs::text_of(path)));
    let pairs = paired(was.iter(), now.iter(), |part| &part.name).into_iter();
    let changed = pairs.filter(|(_, was, now)| was.map(digest) != now.map(digest));
    changed
        .map(|(name, was, now)| Why::SourceChanged {
            name: fs::text_of(name),
            path: now.or(was).and_then(path),
            was: was.map(digest),
            now: now.map(digest),
            last_right,
        })
        .collect()
}

/// Every name with what it is in both lists, in the order of the second; the n-th of a name in one belongs to the
/// n-th in the other.
fn paired<'a, T, N: std::hash::Hash + Eq>(
    was: impl Iterator<Item = &'a T>,
    now: impl Iterator<Item = &'a T>,
    name_of: impl Fn(&'a T) -> &'a N,
) -> Vec<(&'a N, Option<&'a T>, Option<&'a T>)> {
    let mut places: HashMap<&N, Vec<usize>> = HashMap::new();
    let mut pairs: Vec<(&N, Option<&T>, Option<&T>)> = Vec::new();
    for item in now {
        places.entry(name_of(item)).or_default().push(pairs.len());
        pairs.push((name_of(item), None, Some(item)));
    }
    for places in places.values_mut() {
        places.reverse();
    }
    for item in was {
        match places.get_mut(name_of(item)).and_then(Vec::pop) {
            Some(place) => pairs[place].1 = Some(item),
            None => pairs.push((name_of(item), Some(item), None)),
        }
    }
    pairs
}

fn is_same(was: &Value, now: &Value) -> bool {
    let digest = |value: &Value| match value {
        Value::Shown(bytes) => *ObjectDigest::of_bytes(bytes).as_bytes(),
        Value::Hidden(digest) => *digest,
    };
    was == now || digest(was) == digest(now)
}

fn recorded(value: &Value) -> Recorded {
    match value {
        Value::Shown(bytes) => Recorded::Shown(String::from_utf8_lossy(bytes).into_owned()),
        Value::Hidden(_) => Recorded::Hidden,
    }
}
