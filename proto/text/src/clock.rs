//! `strftime_now` for templates that write today's date.
//!
//! Promise: the directives that templates use, in UTC, so that machines in different places make the same tokens; another
//! directive is an error.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// The time now by Python's `strftime` directives.
pub(crate) fn now(format: &str) -> Result<String, String> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    strftime(format, seconds)
}

fn strftime(format: &str, seconds: u64) -> Result<String, String> {
    let (days, of_day) = (seconds / 86400, seconds % 86400);
    let (year, month, day) = date(days);
    let (month_name, day_name) = (MONTHS[month - 1], DAYS[(days % 7) as usize]);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut directive = chars.next();
        let padded = directive != Some('-');
        if !padded {
            directive = chars.next();
        }
        let number = |n: u64| if padded { format!("{n:02}") } else { n.to_string() };
        out += &match directive {
            Some('Y') => year.to_string(),
            Some('y') => number(year % 100),
            Some('m') => number(month as u64),
            Some('d') => number(day),
            Some('H') => number(of_day / 3600),
            Some('M') => number(of_day / 60 % 60),
            Some('S') => number(of_day % 60),
            Some('B') => month_name.to_owned(),
            Some('b') => month_name[..3].to_owned(),
            Some('A') => day_name.to_owned(),
            Some('a') => day_name[..3].to_owned(),
            Some('%') => "%".to_owned(),
            _ => {
                return Err(format!(
                    "strftime_now does not know every directive of `{format}`; it knows %Y%y%m%d%H%M%S%B%b%A%a"
                ));
            }
        };
    }
    Ok(out)
}

/// Year, month and day of a day since 1970-01-01.
fn date(days: u64) -> (u64, usize, u64) {
    let (mut year, mut rest) = (1970, days);
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while rest >= 365 + u64::from(is_leap(year)) {
        rest -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    loop {
        let length = match month {
            2 => 28 + u64::from(is_leap(year)),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if rest < length || month == 12 {
            return (year, month, rest + 1);
        }
        rest -= length;
        month += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |format, seconds| strftime(format, seconds).unwrap();
        assert_eq!(at("%Y-%m-%d %H:%M:%S %A", 0), "1970-01-01 00:00:00 Thursday");
        assert_eq!(at("%d %b %Y, %a", 1_709_164_800), "29 Feb 2024, Thu");
        assert_eq!(at("%-d %B %y %H:%M:%S 100%%", 1_735_689_599), "31 December 24 23:59:59 100%");
        assert_eq!(at("%Y-%m-%d", 951_868_800), "2000-03-01");
        assert!(strftime("%Q", 0).unwrap_err().contains("`%Q`"));
    }
}
