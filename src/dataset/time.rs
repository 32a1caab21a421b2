//! Timestamps of data sets: dates as text, and numbers whose unit follows from their size.
//!
//! A number is a time since 1970 in the unit that puts it between 1990 and 2100: the four ranges of seconds, milliseconds,
//! microseconds and nanoseconds do not touch. A number below the first range counts seconds from the start of the data. Any other
//! number is refused.

use crate::base::Nanos;

/// The form in which a data set writes its timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeForm {
    /// Seconds since the start of the data.
    Relative,
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// Microseconds since 1970.
    Microseconds,
    /// Nanoseconds since 1970.
    Nanoseconds,
    /// A date and time with a time zone.
    ZonedDate,
    /// A date and time without a time zone, which is read as UTC.
    LocalDate,
}

impl TimeForm {
    /// Whether it is a date, not a number.
    pub fn is_date(self) -> bool {
        matches!(self, Self::ZonedDate | Self::LocalDate)
    }

    /// The form in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relative => "seconds since the start of the data",
            Self::Seconds => "seconds since 1970",
            Self::Milliseconds => "milliseconds since 1970",
            Self::Microseconds => "microseconds since 1970",
            Self::Nanoseconds => "nanoseconds since 1970",
            Self::ZonedDate => "dates with a time zone",
            Self::LocalDate => "dates without a time zone, read as UTC",
        }
    }
}

/// A time as a data set writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    /// Time since 1970, or since the start of the data.
    pub time: Nanos,
    /// The form in which it was written.
    pub form: TimeForm,
}

/// 1990-01-01 and 2100-01-01, in seconds since 1970.
const YEARS: std::ops::Range<i128> = 631_152_000..4_102_444_800;

/// Billionths in one.
const BILLION: i128 = 1_000_000_000;

impl Timestamp {
    /// Parses a number in any of the units, or a date as in [`Date::parse`].
    ///
    /// # Errors
    /// The problem, as a phrase that continues "the timestamp ...".
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match billionths(text) {
            Some(value) => Self::of_number(value).map_err(|problem| format!("`{text}` {problem}")),
            None => Self::of_date(text).map_err(|problem| format!("`{text}` {problem}")),
        }
    }

    fn of_number(value: i128) -> Result<Self, &'static str> {
        if value < 0 {
            return Err("is negative");
        }
        if value < YEARS.start * BILLION {
            return Ok(Self::at(value, TimeForm::Relative));
        }
        for (form, per_second) in [
            (TimeForm::Seconds, 1),
            (TimeForm::Milliseconds, 1_000),
            (TimeForm::Microseconds, 1_000_000),
            (TimeForm::Nanoseconds, BILLION),
        ] {
            if YEARS.contains(&value.div_euclid(BILLION * per_second)) {
                return Ok(Self::at(value / per_second, form));
            }
        }
        Err("lies between 1990 and 2100 in no unit of s, ms, us and ns since 1970")
    }

    fn of_date(text: &str) -> Result<Self, &'static str> {
        let date = Date::parse(text).ok_or("is neither a number nor a date")?;
        if !YEARS.contains(&date.since_1970.div_euclid(BILLION)) {
            return Err("does not lie between 1990 and 2100");
        }
        let form = match date.zoned {
            true => TimeForm::ZonedDate,
            false => TimeForm::LocalDate,
        };
        Ok(Self::at(date.since_1970, form))
    }

    /// The caller has checked that the time is neither negative nor after 2100.
    fn at(nanos: i128, form: TimeForm) -> Self {
        Self {
            time: Nanos(u64::try_from(nanos).unwrap_or(u64::MAX)),
            form,
        }
    }
}

/// A decimal number in billionths, exact unless it has an exponent or more than 27 digits; `None` for other texts.
fn billionths(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 27 || !plain(whole) || !plain(fraction) {
        let value: f64 = text.parse().ok()?;
        // `as` saturates, and what is that large lies in no range of years.
        return value
            .is_finite()
            .then_some((value * BILLION as f64) as i128);
    }
    let fraction: String = fraction.chars().take(9).collect();
    let below: i128 = format!("{fraction:0<9}").parse().ok()?;
    Some(sign * (whole.parse::<i128>().ok()? * BILLION + below))
}

/// A date and time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// Nanoseconds since 1970, negative before.
    pub since_1970: i128,
    /// Whether the text states a time zone; without one, it is read as UTC.
    pub zoned: bool,
}

impl Date {
    /// Parses RFC 3339 and its common variants: a space instead of `T`, no time zone, no seconds, more or fewer decimals.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.trim().split_once(['T', 't', ' '])?;
        let mut parts = date.splitn(3, '-').map(|part| part.parse::<u32>().ok());
        let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
        if !(1..=9999).contains(&year) || !(1..=12).contains(&month) {
            return None;
        }
        let next = if month == 12 {
            (year + 1, 1)
        } else {
            (year, month + 1)
        };
        let first = days(year, month, 1);
        if day < 1 || i128::from(day) > days(next.0, next.1, 1) - first {
            return None;
        }
        let zone = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
        let (clock, zone) = rest.split_at(zone);
        let mut parts = clock.trim().splitn(3, ':');
        let hours = number(parts.next()?, 23)?;
        let minutes = number(parts.next()?, 59)?;
        let second = Nanos::parse_secs(parts.next().unwrap_or("0"))?;
        // A leap second is second 60.
        if second.0 > 60_999_999_999 {
            return None;
        }
        let (zoned, offset) = offset(zone.trim())?;
        let minutes = hours * 60 + minutes - offset;
        let day = first + i128::from(day) - 1;
        let since_1970 = (day * 1440 + minutes) * 60 * BILLION + i128::from(second.0);
        Some(Self { since_1970, zoned })
    }
}

/// Whether a zone is stated, and its offset in minutes.
fn offset(zone: &str) -> Option<(bool, i128)> {
    match zone {
        "" => return Some((false, 0)),
        "Z" | "z" => return Some((true, 0)),
        _ => {}
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = zone.get(1..)?.replace(':', "");
    let (hours, minutes) = match digits.len() {
        1 | 2 => (number(&digits, 23)?, 0),
        4 => (number(digits.get(..2)?, 23)?, number(digits.get(2..)?, 59)?),
        _ => return None,
    };
    Some((true, sign * (hours * 60 + minutes)))
}

/// A whole number of up to two digits.
fn number(text: &str, most: u32) -> Option<i128> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let value: u32 = text.parse().ok().filter(|_| plain && text.len() <= 2)?;
    (value <= most).then_some(i128::from(value))
}

/// Days since 1970 in the Gregorian calendar, with years from March to February, so that a leap day is the last day of a year.
pub fn days(year: u32, month: u32, day: u32) -> i128 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (year, month, day) = (i128::from(year), i128::from(month), i128::from(day));
    let leaps = year / 4 - year / 100 + year / 400;
    year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use crate::dataset::time::*;

    #[test]
    fn dates() {
        for (text, nanos, zoned) in [
            ("1970-01-01T00:00:00Z", 0, true),
            (
                "2000-02-29T12:30:00+01:00",
                951_823_800_000_000_000_i128,
                true,
            ),
            (
                "2023-11-16 18:15:46.6805900",
                1_700_158_546_680_590_000,
                false,
            ),
            (
                "2024-03-01T00:00:00.5-0230",
                1_709_260_200_500_000_000,
                true,
            ),
            ("1960-01-01T00:00Z", -315_619_200_000_000_000, true),
        ] {
            let since_1970 = nanos;
            assert_eq!(
                Date::parse(text),
                Some(Date { since_1970, zoned }),
                "{text}"
            );
        }
        for text in [
            "",
            "yesterday",
            "2023-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2023-01-01",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:60:00Z",
            "2023-01-01T00:00:61Z",
            "2023-01-01T00:00:00+1",
            "2023-01-01T00:00:00+99:00",
            "2023-01-01T00:00:00+é",
        ] {
            let found = Date::parse(text);
            let expected = text.ends_with("+1").then_some(1_672_527_600 * BILLION);
            assert_eq!(found.map(|date| date.since_1970), expected, "{text}");
        }
    }

    #[test]
    fn the_unit_follows_from_the_size() {
        use TimeForm::*;
        for (text, form, nanos) in [
            ("0", Relative, 0),
            ("1.5", Relative, 1_500_000_000),
            ("631151999.999999999", Relative, 631_151_999_999_999_999),
            ("631152000", Seconds, 631_152_000_000_000_000),
            ("1700000000.000000001", Seconds, 1_700_000_000_000_000_001),
            ("4102444799", Seconds, 4_102_444_799_000_000_000),
            ("1.7e9", Seconds, 1_700_000_000_000_000_000),
            ("631152000000", Milliseconds, 631_152_000_000_000_000),
            ("1700000000000.5", Milliseconds, 1_700_000_000_000_500_000),
            ("1700000001000000", Microseconds, 1_700_000_001_000_000_000),
            (
                "1700000001000000001",
                Nanoseconds,
                1_700_000_001_000_000_001,
            ),
            ("2023-04-01T00:00:00Z", ZonedDate, 1_680_307_200_000_000_000),
            (
                " 2023-04-01 00:00:00 ",
                LocalDate,
                1_680_307_200_000_000_000,
            ),
        ] {
            let time = Nanos(nanos);
            assert_eq!(
                Timestamp::parse(text),
                Ok(Timestamp { time, form }),
                "{text}"
            );
        }
        for (text, told) in [
            ("-1", "`-1` is negative"),
            ("4102444800", "in no unit"),
            ("631151999999", "in no unit"),
            ("4102444800000000000", "in no unit"),
            ("1e30", "in no unit"),
            ("nan", "neither a number nor a date"),
            ("inf", "neither a number nor a date"),
            ("1989-12-31T23:59:59Z", "between 1990 and 2100"),
            ("2100-01-01T00:00:00Z", "between 1990 and 2100"),
            ("soon", "neither a number nor a date"),
            ("", "neither a number nor a date"),
        ] {
            let problem = Timestamp::parse(text).expect_err(text);
            assert!(problem.contains(told), "{text}: {problem}");
        }
    }
}
