//! Durations and sizes, as people write them.

use std::time::Duration;

/// Splits `text` into its number and its unit.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// Reads a duration: a number (fractions allowed) and one of the units ms, s, m, h, d; seconds if there is none.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration such as 500ms, 10s, 2m, 1h or 7d");
    let (number, unit) = split(text.trim());
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
    if duration.is_zero() { Err("the duration must be greater than zero".to_owned()) } else { Ok(duration) }
}

/// Reads a size in bytes: a whole number and one of the units B, KiB, MiB, GiB, TiB (K, M, G, T for short) or KB, MB, GB, TB; bytes if
/// there is none. Upper and lower case are the same.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size such as 64MiB, 1GiB or 65536");
    let (number, unit) = split(text.trim());
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).ok_or_else(|| format!("`{text}` is more than this machine can count"))
}

/// Writes a size in the largest binary unit of which it has at least one, with one decimal unless it is whole.
pub(crate) fn format_size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..0x400 => return format!("{bytes} B"),
        0x400..0x10_0000 => (1_u64 << 10, "KiB"),
        0x10_0000..0x4000_0000 => (1 << 20, "MiB"),
        _ => (1 << 30, "GiB"),
    };
    let (whole, rest) = (bytes / unit, bytes % unit);
    if rest == 0 { format!("{whole} {name}") } else { format!("{whole}.{} {name}", rest * 10 / unit) }
}

/// Writes how long ago something was, in the largest unit of which it is at least one, without a fraction.
pub(crate) fn format_age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(7 * 24 * 3600)));
        assert_eq!(parse_duration("3"), Ok(Duration::from_secs(3)));
        for wrong in ["", "s", "10x", "-1s", "1..2s", "0s", "99999999999999999999h", "nan"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("65536"), Ok(65_536));
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("1 gib"), Ok(1 << 30));
        assert_eq!(parse_size("2k"), Ok(2048));
        assert_eq!(parse_size("2KB"), Ok(2000));
        for wrong in ["", "MiB", "1.5MiB", "-1", "1XB", "99999999999TiB"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_written() {
        assert_eq!(format_size(1023), "1023 B");
        assert_eq!(format_size(1 << 20), "1 MiB");
        assert_eq!(format_size((3 << 20) + (1 << 19)), "3.5 MiB");
        assert_eq!(format_size(5 << 40), "5120 GiB");
    }

    #[test]
    fn ages_are_written() {
        let age = |seconds| format_age(Duration::from_secs(seconds));
        assert_eq!([age(59), age(61), age(7300), age(200_000)], ["59 s", "1 min", "2 h", "2 d"]);
    }
}
