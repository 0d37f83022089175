//! Why a session is refused, told to a program: what a worker does next depends on it, and words are for people.

use tonic::Status;
use tonic::metadata::MetadataValue;

/// Where the kind of refusal stands in the status's metadata.
const KEY: &str = "vertigo-refusal";

/// Why a worker's session is not taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionRefusal {
    /// Another installation of that name is connected. Waiting does not help.
    NameTaken,
    /// The worker's id belongs to an installation with another secret. Waiting does not help.
    OtherInstallation,
    /// Another process of the same installation has the session. It may be about to end.
    OtherProcess,
}

impl SessionRefusal {
    const ALL: [(SessionRefusal, &str); 3] = [
        (SessionRefusal::NameTaken, "name-taken"),
        (SessionRefusal::OtherInstallation, "other-installation"),
        (SessionRefusal::OtherProcess, "other-process"),
    ];

    /// The status that a worker gets, with `message` for a person.
    pub fn status(self, message: impl Into<String>) -> Status {
        let mut status = match self {
            SessionRefusal::NameTaken | SessionRefusal::OtherProcess => Status::already_exists(message),
            SessionRefusal::OtherInstallation => Status::permission_denied(message),
        };
        if let Some((_, word)) = SessionRefusal::ALL.into_iter().find(|(kind, _)| *kind == self) {
            status.metadata_mut().insert(KEY, MetadataValue::from_static(word));
        }
        status
    }

    /// Which refusal a status is, if it is one.
    pub fn of(status: &Status) -> Option<SessionRefusal> {
        let word = status.metadata().get(KEY)?.to_str().ok()?;
        SessionRefusal::ALL.into_iter().find(|(_, known)| *known == word).map(|(kind, _)| kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_back_from_its_status() {
        for (kind, _) in SessionRefusal::ALL {
            let status = kind.status("why");
            assert_eq!((SessionRefusal::of(&status), status.message()), (Some(kind), "why"));
        }
        assert_eq!(SessionRefusal::of(&Status::already_exists("a file")), None);
    }
}
