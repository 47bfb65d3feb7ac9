//! Rules by which an engine itself removes what is old: what a bucket should have, what it has, and how the one is made the
//! other. Rules of other people in the same bucket stay, byte for byte.

use crate::{
    bucket::{BucketError, Keeper},
    name::Name,
    paths::Prefix,
};

/// Objects outlive the entries that name them by more than a week.
const OBJECT_DAYS: u32 = 30;
/// A day more than an entry is believed.
const ENTRY_DAYS: u32 = 22;
/// For an upload in parts that was never finished.
const UNFINISHED_DAYS: u32 = 2;
const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                    <LifecycleConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
const TAIL: &str = "</LifecycleConfiguration>";

/// One rule that a bucket should have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// What lies below this path, with `/` at its end, ..
    below: String,
    /// .. goes when it is this old.
    days: u32,
}

impl Rule {
    fn id(&self) -> String {
        format!("plugcache {}", self.below)
    }

    fn json(&self) -> String {
        format!(
            "  {{\"ID\":\"{}\",\"Status\":\"Enabled\",\"Filter\":{{\"Prefix\":\"{}\"}},\"Expiration\":{{\"Days\":{}}},\
             \"AbortIncompleteMultipartUpload\":{{\"DaysAfterInitiation\":{UNFINISHED_DAYS}}}}}",
            self.id(),
            self.below,
            self.days
        )
    }

    fn xml(&self) -> String {
        format!(
            "<Rule><ID>{}</ID><Status>Enabled</Status><Filter><Prefix>{}</Prefix></Filter>\
             <Expiration><Days>{}</Days></Expiration><AbortIncompleteMultipartUpload>\
             <DaysAfterInitiation>{UNFINISHED_DAYS}</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>",
            self.id(),
            self.below,
            self.days
        )
    }

    /// Whether a rule of a bucket does at least this, and not too early.
    fn is_done_by(&self, rule: &str) -> bool {
        let days = element(rule, "Expiration").and_then(|text| element(text, "Days")?.trim().parse().ok());
        is_about(rule, &self.below)
            && element(rule, "Status").is_some_and(|status| status.trim() == "Enabled")
            && days.is_some_and(|days: u32| days >= self.days)
    }
}

fn wanted(prefix: &Prefix, namespaces: &[Name]) -> Vec<Rule> {
    let root = prefix.root();
    let objects = Rule { below: format!("{root}/cas/"), days: OBJECT_DAYS };
    let entries = namespaces.iter().map(|name| Rule { below: format!("{root}/{name}/"), days: ENTRY_DAYS });
    std::iter::once(objects).chain(entries).collect()
}

/// The rules that a bucket needs, as `aws s3api put-bucket-lifecycle-configuration --lifecycle-configuration` takes them:
/// objects go at 30 days, entries at 22, and what was never finished at 2. [`write_rules`] sets them; where an engine has
/// none, [`collect`](crate::collect) does the same once a day.
pub fn lifecycle_rules(prefix: &Prefix, namespaces: &[Name]) -> String {
    let rules: Vec<_> = wanted(prefix, namespaces).iter().map(Rule::json).collect();
    format!("{{\"Rules\":[\n{}\n]}}\n", rules.join(",\n"))
}

/// What is missing of the rules that a bucket needs: the paths that nothing is ever removed below. Empty: all are there.
///
/// # Errors
/// The engine gave no answer, has no rules ([`BucketError::Unsupported`]), or these keys may not read them.
pub fn missing_rules(
    bucket: &dyn Keeper,
    prefix: &Prefix,
    namespaces: &[Name],
) -> Result<Vec<String>, BucketError> {
    let has = bucket.rules()?.unwrap_or_default();
    let rules = rules_in(&has).ok_or_else(not_understood)?;
    let mut wanted = wanted(prefix, namespaces);
    wanted.retain(|wanted| !rules.iter().any(|rule| wanted.is_done_by(rule)));
    Ok(wanted.into_iter().map(|rule| rule.below).collect())
}

/// Sees to it that a bucket has the rules that it needs; whether any had to be written. Those of others stay as they are.
///
/// # Errors
/// As of [`missing_rules`]; or the rules that are there are not understood, and nothing was changed.
pub fn write_rules(bucket: &dyn Keeper, prefix: &Prefix, namespaces: &[Name]) -> Result<bool, BucketError> {
    if missing_rules(bucket, prefix, namespaces)?.is_empty() {
        return Ok(false);
    }
    let has = bucket.rules()?.unwrap_or_default();
    let kept = rules_in(&has).ok_or_else(not_understood)?;
    let wanted = wanted(prefix, namespaces);
    let is_ours = |rule: &&str| wanted.iter().any(|wanted| is_about(rule, &wanted.below));
    let kept = kept.into_iter().filter(|rule| !is_ours(rule)).map(str::to_owned);
    let rules: String = kept.chain(wanted.iter().map(Rule::xml)).collect();
    bucket.set_rules(&format!("{HEAD}{rules}{TAIL}"))?;
    let missing = missing_rules(bucket, prefix, namespaces)?;
    match missing.first() {
        None => Ok(true),
        Some(below) => {
            Err(BucketError::Unreachable(format!("it took the rules and does not have that for {below}")))
        }
    }
}

fn not_understood() -> BucketError {
    BucketError::Unreachable("what it says of its rules is not understood".into())
}

/// Whether a rule is about exactly what lies below this path.
fn is_about(rule: &str, below: &str) -> bool {
    let narrower = ["<And>", "<Tag>", "<ObjectSizeGreaterThan>", "<ObjectSizeLessThan>"];
    element(rule, "Prefix").is_some_and(|prefix| prefix.trim() == below)
        && !narrower.iter().any(|word| rule.contains(word))
}

/// Every rule of an answer, whole; `None`: it is no such answer.
fn rules_in(xml: &str) -> Option<Vec<&str>> {
    let mut rules = Vec::new();
    let mut rest = xml;
    while let Some(begin) = rest.find("<Rule>") {
        let end = begin + rest[begin..].find("</Rule>")? + "</Rule>".len();
        rules.push(&rest[begin..end]);
        rest = &rest[end..];
    }
    // One that is spelled in another way would be lost.
    let is_whole = !rest.contains("<Rule") && rules.iter().all(|rule| rule.matches("<Rule").count() == 1);
    is_whole.then_some(rules)
}

/// What stands in the first element of this name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::bucket::{Ask, Bucket, Head, Limits};

    /// A bucket that has rules and nothing else.
    #[derive(Default)]
    struct Ruled(Mutex<Option<String>>);

    impl Bucket for Ruled {
        fn get(&self, _: &str, _: &Ask, _: &mut dyn std::io::Write) -> Result<u64, BucketError> {
            Err(BucketError::NotFound)
        }
        fn put(&self, _: &str, _: bytes::Bytes, _: &Limits) -> Result<(), BucketError> {
            Err(BucketError::Unsupported)
        }
        fn head(&self, _: &str, _: &Limits) -> Result<Head, BucketError> {
            Err(BucketError::NotFound)
        }
    }

    impl Keeper for Ruled {
        fn list(&self, _: &str, _: &mut dyn FnMut(&str, Head)) -> Result<(), BucketError> {
            Ok(())
        }
        fn delete(&self, _: &str, _: &Limits) -> Result<(), BucketError> {
            Ok(())
        }
        fn rules(&self) -> Result<Option<String>, BucketError> {
            Ok(self.0.lock().unwrap().clone())
        }
        fn set_rules(&self, xml: &str) -> Result<(), BucketError> {
            *self.0.lock().unwrap() = Some(xml.into());
            Ok(())
        }
    }

    fn fleet() -> (Prefix, Vec<Name>) {
        (Prefix::new("fleet").unwrap(), vec!["main".parse().unwrap(), "dev".parse().unwrap()])
    }

    #[test]
    fn what_is_missing_is_written_once_and_then_nothing_is_missing() {
        let (bucket, (prefix, names)) = (Ruled::default(), fleet());
        let all = ["fleet/v1/cas/", "fleet/v1/main/", "fleet/v1/dev/"];
        assert_eq!(missing_rules(&bucket, &prefix, &names).unwrap(), all);
        assert!(write_rules(&bucket, &prefix, &names).unwrap());
        assert_eq!(missing_rules(&bucket, &prefix, &names).unwrap(), [""; 0]);
        let before = bucket.rules().unwrap();
        assert!(!write_rules(&bucket, &prefix, &names).unwrap());
        assert_eq!(bucket.rules().unwrap(), before);
    }

    #[test]
    fn rules_of_others_stay_byte_for_byte_and_wrong_ones_of_ours_go() {
        let (prefix, names) = fleet();
        let others = "<Rule><ID>logs &amp; more</ID><Filter><Prefix>logs/</Prefix></Filter><Status>Enabled</Status>\n\
                      <Expiration><Days>3</Days></Expiration></Rule>";
        let tagged = "<Rule><Filter><And><Prefix>fleet/v1/cas/</Prefix><Tag>x</Tag></And></Filter></Rule>";
        let early = "<Rule><Filter><Prefix>fleet/v1/cas/</Prefix></Filter><Status>Enabled</Status>\
                     <Expiration><Days>7</Days></Expiration></Rule>";
        let bucket = Ruled(Mutex::new(Some(format!(
            "<LifecycleConfiguration>{others}{tagged}{early}</LifecycleConfiguration>"
        ))));
        assert!(write_rules(&bucket, &prefix, &names).unwrap());
        let now = bucket.rules().unwrap().unwrap();
        assert!(now.contains(others) && now.contains(tagged) && !now.contains(early), "{now}");
        assert_eq!(now.matches("<Rule>").count(), 5, "{now}");
    }

    #[test]
    fn an_answer_that_is_not_understood_is_never_overwritten() {
        let (prefix, names) = fleet();
        for strange in ["<Rule id=\"1\"><x/></Rule>", "<Rule><Filter/>", "<Rule><Rule></Rule></Rule>"] {
            let bucket = Ruled(Mutex::new(Some(strange.into())));
            write_rules(&bucket, &prefix, &names).unwrap_err();
            assert_eq!(bucket.rules().unwrap().as_deref(), Some(strange));
        }
    }

    #[test]
    fn a_rule_that_is_disabled_or_removes_too_early_is_none() {
        let rule = Rule { below: "v1/main/".into(), days: 22 };
        assert!(rule.is_done_by(&rule.xml()));
        assert!(rule.is_done_by(&rule.xml().replace(">22<", ">60<")));
        for wrong in [("Enabled", "Disabled"), (">22<", ">21<"), ("v1/main/", "v1/dev/")] {
            assert!(!rule.is_done_by(&rule.xml().replace(wrong.0, wrong.1)), "{wrong:?}");
        }
    }
}
