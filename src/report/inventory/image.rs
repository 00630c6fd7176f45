//! The date of a node image, as its name tells it. Never guesses about a name of another form.

use nodepool_kernel::{Span, Time};

/// When the image was made: `AKSUbuntu-2204gen2containerd-202601.07.0` on 7 January 2026,
/// `AKSWindows-2022-containerd-20348.2700.240911` on 11 September 2024.
///
/// Source: the labels `kubernetes.azure.com/node-image-version` of recorded nodes, and AKS's release notes for Windows.
pub(super) fn made(image: &str) -> Option<jiff::civil::Date> {
    let mut release = image.rsplit('-').next()?.split('.');
    let (first, second, third) = (release.next()?, release.next()?, release.next()?);
    if release.next().is_some() {
        return None;
    }
    let two = |text: &str, from: usize| text.get(from..from + 2)?.parse::<i8>().ok();
    let (year, month, day) = match (first.len(), third.len()) {
        (6, _) if first.starts_with("20") => (first.get(..4)?.parse().ok()?, two(first, 4)?, second.parse().ok()?),
        (_, 6) => (i16::from(two(third, 0)?) + 2000, two(third, 2)?, two(third, 4)?),
        _ => return None,
    };
    jiff::civil::Date::new(year, month, day).ok()
}

/// Whether an image of that date is older than it may be.
pub(super) fn is_old(made: jiff::civil::Date, now: Time, may_be: Span) -> bool {
    let made = made.to_zoned(jiff::tz::TimeZone::UTC).map(|at| Time::from_millis(at.timestamp().as_millisecond()));
    made.is_ok_and(|made| now.since(made) > may_be)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_image_tells_its_date() {
        for (image, date) in [
            ("AKSUbuntu-2204gen2containerd-202601.07.0", Some("2026-01-07")),
            ("AKSAzureLinux-V3gen2fips-202512.31.1", Some("2025-12-31")),
            ("AKSWindows-2022-containerd-20348.2700.240911", Some("2024-09-11")),
            ("AKSUbuntu-2204gen2containerd-202613.07.0", None),
            ("AKSUbuntu-2204gen2containerd-202601.07", None),
            ("AKSUbuntu-2204gen2containerd-202601.07.0.1", None),
            ("custom", None),
            ("", None),
        ] {
            assert_eq!(made(image).map(|date| date.to_string()).as_deref(), date, "{image}");
        }
    }

    #[test]
    fn an_image_is_old_after_its_time() {
        let made = jiff::civil::date(2026, 1, 7);
        let at = |text: &str| crate::api::time(text).unwrap();
        let limit = Span::from_secs(30 * 86_400);
        assert!(!is_old(made, at("2026-02-06T00:00:00Z"), limit));
        assert!(is_old(made, at("2026-02-06T00:00:01Z"), limit));
    }
}
