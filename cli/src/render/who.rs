//! Who did something, for people. Whoever sits at the coordinator's own machine is not named: where nobody has joined it is always that
//! one.

/// A principal as it is told: empty for nobody and for the coordinator's own machine.
pub(crate) fn told(by: &str) -> &str {
    if by == vertigo::principal::PrincipalName::local().as_str() { "" } else { by }
}

/// ` by NAME`, or nothing.
pub(crate) fn told_by(by: &str) -> String {
    match told(by) {
        "" => String::new(),
        name => format!(" by {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_sits_at_the_coordinator_is_not_named() {
        assert_eq!([told("local"), told(""), told("mac-laptop")], ["", "", "mac-laptop"]);
        assert_eq!([told_by("local"), told_by("mac-laptop")], ["", " by mac-laptop"]);
    }
}
