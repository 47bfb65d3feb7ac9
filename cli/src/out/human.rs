//! Sizes, ages and spans of time as people write them, in both directions. JSON has the exact numbers.

use std::time::{Duration, SystemTime};

const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// Three digits and a unit: `980 B`, `1.50 KiB`, `23.4 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, 0);
    // What would round to 1000 or more is better said in the next unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{} {}", three_digits(value), UNITS[unit]) }
}

/// Two or three digits and a unit: `42 ms`, `1.50 s`, `3 min`, `2 h`, `9 d`.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 if span.as_millis() == 0 => format!("{} µs", span.as_micros()),
        0 => format!("{} ms", span.as_millis()),
        1..60 => format!("{} s", three_digits(span.as_secs_f64())),
        60..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// How long ago that was.
pub(crate) fn age(of: SystemTime, now: SystemTime) -> String {
    now.duration_since(of).map_or_else(|_| "in the future".into(), |age| format!("{} ago", whole(age)))
}

/// How long ago a day was of which no hour is known.
pub(crate) fn day(of: SystemTime, now: SystemTime) -> String {
    const DAY: u64 = 86_400;
    let days = |time: SystemTime| unix(time) / DAY;
    match days(now).checked_sub(days(of)) {
        None => "in the future".into(),
        Some(0) => "today".into(),
        Some(1) => "yesterday".into(),
        Some(days) => format!("{days} d ago"),
    }
}

/// `1 entry`, `2 entries`.
pub(crate) fn count(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// Seconds since 1970 UTC.
pub(crate) fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn whole(age: Duration) -> String {
    if age.as_secs() < 60 { format!("{} s", age.as_secs()) } else { span(age) }
}

fn three_digits(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// `500`, `64K`, `1.5M`, `2GiB`: powers of 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = apart(text)?;
    let factor = match unit.to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b') {
        "" => 1_u64,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return Err("a size is a number and B, K, M, G or T, such as 500M".into()),
    };
    scaled(number, factor as f64).ok_or_else(|| "this is too much".into())
}

/// `90s`, `15min`, `12h`, `30d`, `2w`.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let (number, unit) = apart(text)?;
    let seconds = match unit.to_ascii_lowercase().as_str() {
        "ms" => {
            return scaled(number, 1.0).map(Duration::from_millis).ok_or_else(|| "this is too long".into());
        }
        "s" | "sec" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err("a span of time is a number and ms, s, min, h, d or w, such as 30d".into()),
    };
    let ms = scaled(number, f64::from(seconds) * 1000.0);
    ms.map(Duration::from_millis).ok_or_else(|| "this is too long".into())
}

fn apart(text: &str) -> Result<(f64, &str), String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse().map_err(|_| "it does not begin with a number".to_owned())?;
    Ok((number, text[end..].trim()))
}

fn scaled(number: f64, factor: f64) -> Option<u64> {
    let value = number * factor;
    (value < u64::MAX as f64).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_and_the_unit_that_fits() {
        let sizes = [0, 999, 1000, 1536, 10 << 20, 1_047_000, 1 << 30, u64::MAX].map(size);
        let expected =
            ["0 B", "999 B", "0.98 KiB", "1.50 KiB", "10.0 MiB", "1.00 MiB", "1.00 GiB", "16777216 TiB"];
        assert_eq!(sizes, expected);
    }

    #[test]
    fn spans_are_said_in_the_unit_that_people_would_choose() {
        let spans = [0.000_5, 0.042, 1.5, 59.0, 119.0, 7199.0, 7200.0, 172_799.0, 172_800.0]
            .map(|seconds| span(Duration::from_secs_f64(seconds)));
        let expected = ["500 µs", "42 ms", "1.50 s", "59.0 s", "1 min", "119 min", "2 h", "47 h", "2 d"];
        assert_eq!(spans, expected);
    }

    #[test]
    fn what_people_write_is_read() {
        let sizes = ["500", "64K", "1.5M", "2GiB", "3 kb", "1T"].map(|text| parse_size(text).unwrap());
        assert_eq!(sizes, [500, 65_536, 1_572_864, 2 << 30, 3072, 1 << 40]);
        let spans = ["250ms", "90s", "15min", "12h", "30d", "2w"].map(|text| parse_span(text).unwrap());
        assert_eq!(
            spans.map(|span| span.as_millis()),
            [250, 90_000, 900_000, 43_200_000, 2_592_000_000, 1_209_600_000]
        );
        for wrong in ["", "x", "-1", "1x", "1..2", "99999999999T"] {
            assert!(parse_size(wrong).is_err() && parse_span(wrong).is_err(), "{wrong}");
        }
        assert!(parse_span("5").is_err(), "a span without a unit says nothing");
    }

    #[test]
    fn a_day_is_counted_by_the_calendar_and_an_age_by_the_clock() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let now = at(10 * 86_400 + 5);
        assert_eq!(day(at(10 * 86_400), now), "today");
        assert_eq!(day(at(9 * 86_400), now), "yesterday");
        assert_eq!(day(at(5 * 86_400), now), "5 d ago");
        assert_eq!(day(at(11 * 86_400), now), "in the future");
        assert_eq!(age(at(10 * 86_400), now), "5 s ago");
        assert_eq!(age(now + Duration::from_secs(1), now), "in the future");
    }
}
