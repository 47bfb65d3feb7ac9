//! How a configuration is written down: the fields of [`Config`] under their own names, all but `dir`
//! optional.
//!
//! Text that some version wrote is read by every later one: a field is never renamed and never changes its
//! meaning, and the test below keeps what was written so far.
//!
//! Numbers beyond 2^63 - 1 are decimal text (TOML has no such integers), and so is a time that is no whole
//! number of seconds.

use super::{Config, Durability, Exec, Mode, Trust, Verify};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, path::PathBuf, time::Duration};

/// Every field but one may be missing: then it has the value it has in [`Config::new`].
#[derive(Serialize, Deserialize)]
#[serde(rename = "Config")]
pub(super) struct Text {
    dir: PathBuf,
    max_files: Option<Number>,
    max_bytes: Option<Number>,
    readonly: Option<bool>,
    try_old_cache_with_new_exec: Option<bool>,
    verify: Option<Verify>,
    durability: Option<Durability>,
    mode: Option<Mode>,
    layers: Option<Vec<PathBuf>>,
    // Written only if it is on: text without it is what earlier versions wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    promote: Option<bool>,
    trust: Option<Trust>,
    build_wait_max_seconds: Option<Seconds>,
    memo: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_max_seconds: Option<Seconds>,
    exec: Option<Exec>,
}

impl From<Config> for Text {
    fn from(config: Config) -> Text {
        Text {
            dir: config.dir,
            max_files: Some(Number(config.max_files)),
            max_bytes: Some(Number(config.max_bytes)),
            readonly: Some(config.readonly),
            try_old_cache_with_new_exec: Some(config.try_old_cache_with_new_exec),
            verify: Some(config.verify),
            durability: Some(config.durability),
            mode: Some(config.mode),
            layers: Some(config.layers),
            promote: config.promote.then_some(true),
            trust: Some(config.trust),
            build_wait_max_seconds: Some(Seconds(config.build_wait_max)),
            memo: Some(config.memo),
            idle_max_seconds: config.idle_max.map(Seconds),
            exec: Some(config.exec),
        }
    }
}

impl From<Text> for Config {
    fn from(text: Text) -> Config {
        let default = Config::new(text.dir);
        Config {
            max_files: text.max_files.map_or(default.max_files, |number| number.0),
            max_bytes: text.max_bytes.map_or(default.max_bytes, |number| number.0),
            readonly: text.readonly.unwrap_or(default.readonly),
            try_old_cache_with_new_exec: text
                .try_old_cache_with_new_exec
                .unwrap_or(default.try_old_cache_with_new_exec),
            verify: text.verify.unwrap_or(default.verify),
            durability: text.durability.unwrap_or(default.durability),
            mode: text.mode.unwrap_or(default.mode),
            layers: text.layers.unwrap_or(default.layers),
            promote: text.promote.unwrap_or(default.promote),
            trust: text.trust.unwrap_or(default.trust),
            build_wait_max: text.build_wait_max_seconds.map_or(default.build_wait_max, |time| time.0),
            memo: text.memo.unwrap_or(default.memo),
            idle_max: text.idle_max_seconds.map_or(default.idle_max, |time| Some(time.0)),
            exec: text.exec.unwrap_or(default.exec),
            dir: default.dir,
            boot_id: default.boot_id,
        }
    }
}

/// A number as a number if every format has it, else as decimal text.
fn write_number<S: Serializer>(number: u64, to: S) -> Result<S::Ok, S::Error> {
    match i64::try_from(number) {
        Ok(number) => to.serialize_i64(number),
        Err(_) => to.collect_str(&number),
    }
}

struct Number(u64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        write_number(self.0, to)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Number, D::Error> {
        let read = from.deserialize_any(Decimal)?;
        if read.subsec_nanos() != 0 {
            return Err(de::Error::custom("expected a whole number"));
        }
        Ok(Number(read.as_secs()))
    }
}

struct Seconds(Duration);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.subsec_nanos() {
            0 => write_number(self.0.as_secs(), to),
            nanos => to.collect_str(&format_args!("{}.{nanos:09}", self.0.as_secs())),
        }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Seconds, D::Error> {
        from.deserialize_any(Decimal).map(Seconds)
    }
}

/// Reads a number that is not negative, with up to nine decimal places, from a number or from text.
struct Decimal;

impl de::Visitor<'_> for Decimal {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number that is not negative")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Duration, E> {
        Ok(Duration::from_secs(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Duration, E> {
        u64::try_from(number)
            .map(Duration::from_secs)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Duration, E> {
        Duration::try_from_secs_f64(number)
            .map_err(|_| E::invalid_value(de::Unexpected::Float(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        decimal(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

fn decimal(text: &str) -> Option<Duration> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 9 {
        return None;
    }
    Some(Duration::new(whole.parse().ok()?, format!("{part:0<9}").parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigBuilder;
    use proptest::prelude::*;

    /// What version 0.1 wrote for every field set to something else than its default, and (the second) for
    /// what TOML cannot say in numbers. These texts are never edited: they are what users have on disk.
    const WRITTEN: [(&str, &str); 2] = [
        (
            include_str!("../../tests/data/config/0.1-everything.toml"),
            include_str!("../../tests/data/config/0.1-everything.json"),
        ),
        (
            include_str!("../../tests/data/config/0.1-extremes.toml"),
            include_str!("../../tests/data/config/0.1-extremes.json"),
        ),
    ];

    fn meant() -> [Config; 2] {
        let everything = Config::builder("/var/cache/host")
            .max_files(12)
            .max_bytes(34_567)
            .readonly(true)
            .try_old_cache_with_new_exec(true)
            .verify(Verify::Always)
            .durability(Durability::Sync)
            .mode(Mode::RequireHit)
            .exec(Exec::Given(vec![1, 2, 255]))
            .layer("/usr/lib/host/plugins")
            .layer("/opt/plugins")
            .trust(Trust::Group)
            .build_wait_max(Duration::from_secs(5))
            .memo(false)
            .idle_max(Some(Duration::from_secs(86_400)));
        let extremes = Config::builder("relative dir/\u{e4}")
            .max_files(u64::MAX)
            .max_bytes(1 << 63)
            .mode(Mode::Refresh)
            .exec(Exec::Independent)
            .trust(Trust::Anyone)
            .build_wait_max(Duration::MAX)
            .idle_max(Some(Duration::from_millis(1500)));
        [everything.build(), extremes.build()]
    }

    #[test]
    fn text_of_every_version_so_far_is_read_as_it_was_meant() {
        for ((toml, json), config) in WRITTEN.into_iter().zip(meant()) {
            assert_eq!(toml::from_str::<Config>(toml).unwrap(), config);
            assert_eq!(serde_json::from_str::<Config>(json).unwrap(), config);
        }
    }

    #[test]
    fn a_configuration_is_written_as_version_0_1_wrote_it() {
        for ((toml, json), config) in WRITTEN.into_iter().zip(meant()) {
            assert_eq!(toml::to_string(&config).unwrap(), toml);
            assert_eq!(serde_json::to_string_pretty(&config).unwrap(), json.trim_end());
        }
    }

    #[test]
    fn only_the_directory_must_be_there() {
        assert_eq!(serde_json::from_str::<Config>(r#"{"dir":"d"}"#).unwrap(), Config::new("d"));
        assert_eq!(toml::from_str::<Config>("dir = 'd'").unwrap(), Config::new("d"));
        let error = toml::from_str::<Config>("max_files = 1").unwrap_err();
        assert!(error.to_string().contains("dir"), "{error}");
    }

    #[test]
    fn a_field_that_this_version_does_not_know_is_ignored() {
        let text = "dir = 'd'\nfrom_the_future = [1]\n[another]\nx = 1";
        assert_eq!(toml::from_str::<Config>(text).unwrap(), Config::new("d"));
    }

    #[test]
    fn a_field_that_is_not_what_it_should_be_is_an_error_and_not_a_default() {
        let wrong = [
            r#""max_files":-1"#,
            r#""max_files":1.5"#,
            r#""max_bytes":"1 GiB""#,
            r#""build_wait_max_seconds":"-1""#,
            r#""build_wait_max_seconds":"1.""#,
            r#""idle_max_seconds":"1.0000000001""#,
            r#""mode":"whatever""#,
        ];
        for field in wrong {
            assert!(serde_json::from_str::<Config>(&format!(r#"{{"dir":"d",{field}}}"#)).is_err(), "{field}");
        }
    }

    prop_compose! {
        fn configs()(
            dir in "[a-z/\u{e4} ]{1,20}",
            sizes in any::<(u64, u64)>(),
            flags in any::<[bool; 5]>(),
            layers in proptest::collection::vec("[a-z/]{1,9}", 0..3),
            times in any::<(Duration, Option<Duration>)>(),
            exec in prop_oneof![
                Just(Exec::Current),
                Just(Exec::Independent),
                any::<Vec<u8>>().prop_map(Exec::Given)
            ],
        ) -> Config {
            let builder = Config::builder(dir)
                .max_files(sizes.0)
                .max_bytes(sizes.1)
                .readonly(flags[0])
                .try_old_cache_with_new_exec(flags[1])
                .memo(flags[2])
                .verify(if flags[3] { Verify::Always } else { Verify::OncePerBoot })
                .durability(if flags[4] { Durability::Sync } else { Durability::Lazy })
                .build_wait_max(times.0)
                .idle_max(times.1)
                .exec(exec);
            layers.into_iter().fold(builder, ConfigBuilder::layer).build()
        }
    }

    proptest! {
        #[test]
        fn every_configuration_survives_a_round_trip_in_json_and_in_toml(config in configs()) {
            let json = serde_json::to_string(&config).unwrap();
            prop_assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config.clone());
            let toml = toml::to_string(&config).unwrap();
            prop_assert_eq!(toml::from_str::<Config>(&toml).unwrap(), config);
        }
    }
}
