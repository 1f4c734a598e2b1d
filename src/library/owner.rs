//! Who owns a library that is loaded: in whose name its consumers and triggers act.
//!
//! Nobody gains rights by it. Code runs with its owner's rights, so whoever has it loaded must be
//! that user, or be able to become that user anyway. An upgrade keeps the owner, and that is the
//! same question: a user with fewer rights must not have code of his own run as the old owner.

/// What is known of users.
pub(crate) trait Users {
    /// Whether there is such a user, who is enabled.
    fn is_enabled(&self, user: &str) -> bool;

    /// Whether that user administers the server, and so may become any other.
    fn is_admin(&self, user: &str) -> bool;
}

/// Who asks for a load, and what for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnerRequest<'a> {
    /// The user who sent the command.
    pub caller: &'a str,
    /// The owner that the command names.
    pub named: Option<&'a str>,
    /// The name and the owner of the library that is upgraded.
    pub replaces: Option<(&'a str, &'a str)>,
}

/// The owner of a library that is loaded.
///
/// # Errors
/// Why it may not be that one.
pub(crate) fn owner<'a>(request: OwnerRequest<'a>, users: &dyn Users) -> Result<&'a str, String> {
    let caller = request.caller;
    let may_name = |owner: &str| owner == caller || users.is_admin(caller);
    match (request.named, request.replaces) {
        (Some(owner), _) if !may_name(owner) => Err(format!(
            "NOPERM User '{caller}' may not make '{owner}' the owner: only that user may, and who administers the server"
        )),
        (Some(owner), _) if owner != caller && !users.is_enabled(owner) => Err(format!(
            "ERR OWNER: user '{owner}' does not exist, or is disabled"
        )),
        (None, Some((library, owner))) if !may_name(owner) => Err(format!(
            "NOPERM the owner of library '{library}' is '{owner}', and an upgrade keeps the owner: user '{caller}' may not load code that acts as that user. OWNER {caller} makes it act as '{caller}'"
        )),
        (None, Some((library, owner))) if owner != caller && !users.is_enabled(owner) => {
            Err(format!(
                "ERR user '{owner}', the owner of library '{library}', does not exist, or is disabled: name another one with OWNER"
            ))
        }
        (Some(owner), _) | (None, Some((_, owner))) => Ok(owner),
        (None, None) => Ok(caller),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `root` administers; `off` is disabled.
    struct Known;

    impl Users for Known {
        fn is_enabled(&self, user: &str) -> bool {
            ["root", "anna", "bert"].contains(&user)
        }

        fn is_admin(&self, user: &str) -> bool {
            user == "root"
        }
    }

    fn asked(caller: &str, named: Option<&str>, old: Option<&str>) -> Result<String, String> {
        let request = OwnerRequest {
            caller,
            named,
            replaces: old.map(|old| ("lib", old)),
        };
        owner(request, &Known).map(str::to_owned)
    }

    #[test]
    fn an_owner_is_kept_or_named_by_himself_and_by_administrators_only() {
        for (caller, named, old, owner) in [
            ("anna", None, None, "anna"),
            ("anna", Some("anna"), None, "anna"),
            ("anna", None, Some("anna"), "anna"),
            ("anna", Some("anna"), Some("bert"), "anna"),
            ("root", Some("anna"), None, "anna"),
            ("root", None, Some("anna"), "anna"),
            ("root", Some("root"), Some("off"), "root"),
        ] {
            assert_eq!(asked(caller, named, old), Ok(owner.to_owned()));
        }
        for (named, old) in [
            (Some("bert"), None),
            (Some("nobody"), None),
            (Some("bert"), Some("bert")),
            (Some("bert"), Some("anna")),
            (None, Some("bert")),
        ] {
            let refused = asked("anna", named, old).unwrap_err();
            assert!(refused.starts_with("NOPERM "), "{refused}");
        }
    }

    #[test]
    fn an_owner_has_to_exist() {
        for (named, old) in [
            (Some("off"), None),
            (None, Some("off")),
            (Some("off"), Some("anna")),
        ] {
            let refused = asked("root", named, old).unwrap_err();
            assert!(
                refused.starts_with("ERR ") && refused.contains("OWNER"),
                "{refused}"
            );
        }
    }
}
