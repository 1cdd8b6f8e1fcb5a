//! Times and durations as people say them. All times are UTC, as the API has them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fluxus_schema::Timestamp;

/// The units of spans that say how long ago something was, with their seconds.
const UNITS: [(&str, u64); 6] =
    [("s", 1), ("m", 60), ("min", 60), ("h", 3_600), ("d", 86_400), ("w", 7 * 86_400)];

/// The present.
pub fn now() -> Timestamp {
    // A clock before 1970 is no case worth failing for: relative times are merely wrong then.
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

/// A time that somebody says: RFC 3339, a day (its beginning, UTC), or a span back from now.
///
/// # Errors
/// All forms.
pub fn parse(text: &str) -> Result<Timestamp, String> {
    // A day begins at midnight.
    let day = || Timestamp::parse(&format!("{text}T00:00:00Z")).ok();
    let ago = || {
        let ms = i64::try_from(parse_span(text, &UNITS)?.as_millis()).ok()?;
        Some(Timestamp::from_millis(now().as_millis().saturating_sub(ms)))
    };
    Timestamp::parse(text).ok().or_else(day).or_else(ago).ok_or_else(|| {
        format!(
            "`{text}` is no time: write a day such as 2026-11-23, RFC 3339 such as \
             2026-11-23T12:00:00Z, or a span back from now such as 90s, 15m, 24h, 7d or 2w"
        )
    })
}

/// A span in whole seconds: a number with a unit.
///
/// # Errors
/// What it should look like.
pub fn parse_seconds(text: &str) -> Result<u32, String> {
    parse_span(text, &UNITS)
        .and_then(|span| u32::try_from(span.as_secs()).ok())
        .ok_or_else(|| format!("`{text}` is no span such as 30s, 15m, 2h or 1d"))
}

/// A whole number with one of these units, given with their seconds.
pub fn parse_span(text: &str, units: &[(&str, u64)]) -> Option<Duration> {
    let (count, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let seconds = units.iter().find(|(name, _)| *name == unit)?.1;
    Some(Duration::from_secs(count.parse::<u64>().ok()?.checked_mul(seconds)?))
}

/// The time of day: `12:03:04.512`.
pub fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('T') {
        Some((_, time)) => time.trim_end_matches('Z').to_owned(),
        None => text,
    }
}

/// Date and time for reading: `2026-11-23 12:03:04Z`.
pub fn date_and_time(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('T') {
        Some((date, time)) => format!("{date} {}Z", time.get(..8).unwrap_or(time)),
        None => text,
    }
}

/// Date, time, and how far from now: `2026-11-23 12:03:04Z (4 min ago)`.
pub fn absolute_and_relative(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", date_and_time(at), relative(at, now))
}

/// How far from now: `4 min ago`, `in 2 s`, `now`.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    if at < now {
        format!("{} ago", span(now.since(at)))
    } else if at > now {
        format!("in {}", span(at.since(now)))
    } else {
        "now".to_owned()
    }
}

/// A duration in its two largest units: `850 ms`, `2.4 s`, `1 min 30 s`, `3 d 4 h`.
pub fn span(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms < 1000 {
        return format!("{ms} ms");
    }
    if ms < 10_000 {
        // Seconds and tenths, cut and not rounded, so that 9.99 s never reads as 10.0 s.
        let tenths = ms / 100;
        return match tenths % 10 {
            0 => format!("{} s", tenths / 10),
            tenth => format!("{}.{tenth} s", tenths / 10),
        };
    }
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let mut rest = duration.as_secs();
    let mut parts = Vec::new();
    for (unit, seconds) in UNITS {
        let count = rest / seconds;
        rest %= seconds;
        if count > 0 {
            parts.push(format!("{count} {unit}"));
        }
        // Two units next to each other say enough; after `3 d` a count of seconds is noise.
        if parts.len() == 2 || (!parts.is_empty() && count == 0) {
            break;
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short_and_readable() {
        let cases = [
            (0, "0 ms"),
            (999, "999 ms"),
            (2_000, "2 s"),
            (9_990, "9.9 s"),
            (10_400, "10 s"),
            (60_000, "1 min"),
            (90_000, "1 min 30 s"),
            (3_605_000, "1 h"),
            (7_320_000, "2 h 2 min"),
            (273_600_000, "3 d 4 h"),
        ];
        for (ms, text) in cases {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn a_time_is_a_day_a_moment_or_a_span_back_from_now() {
        let ago = now().since(parse("24h").expect("a span"));
        assert!((86_399..86_460).contains(&ago.as_secs()), "{ago:?}");
        assert_eq!(parse("2026-11-23"), Timestamp::parse("2026-11-23T00:00:00Z"));
        assert_eq!(parse("2026-11-23T13:00:00+01:00"), Timestamp::parse("2026-11-23T12:00:00Z"));
        for wrong in ["xd", "", "é", "12", "h", "-1h", "yesterday", "2026-13-01"] {
            let said = parse(wrong).expect_err(wrong);
            assert!(["2026-11-23,", "12:00:00Z", "24h"].iter().all(|form| said.contains(form)));
        }
        assert_eq!(parse_seconds("2h"), Ok(7_200));
        assert!(parse_seconds("2y").is_err());
    }

    #[test]
    fn moments_are_told_from_now() {
        let at = Timestamp::parse("2026-11-23T12:03:04.512Z").expect("a time");
        assert_eq!(clock(at), "12:03:04.512");
        let later = at.plus(Duration::from_secs(240));
        assert_eq!(absolute_and_relative(at, later), "2026-11-23 12:03:04Z (4 min ago)");
        assert_eq!(relative(later, at), "in 4 min");
        assert_eq!(relative(at, at), "now");
    }
}
