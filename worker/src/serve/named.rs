//! What is to be served, as it is written on the command line: `[NAME=]FOLDER[@ADAPTER_FOLDER]`, or a name at the coordinator.

use crate::task::ServedModel;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use vertigo::task::split_served;

/// A model that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Folders of this machine.
    Folder(Named),
    /// What a name at the coordinator stands for.
    Name(ServedModel),
}

impl Asked {
    /// As requests name it.
    pub fn name(&self) -> &str {
        match self {
            Asked::Folder(named) => &named.name,
            Asked::Name(model) => &model.name,
        }
    }
}

impl FromStr for Asked {
    type Err = NamedError;

    /// What is there as a folder, or is written as one, is one; everything else is a name.
    fn from_str(text: &str) -> Result<Asked, NamedError> {
        let base = text.rsplit_once('@').map_or(text, |(base, _)| base);
        if text.contains('=') || base.is_empty() || base.starts_with(['.', '/', '~']) || Path::new(base).is_dir() {
            return text.parse().map(Asked::Folder);
        }
        let (model, base) = split_served(text);
        let (name, base) = (text.to_owned(), base.unwrap_or_default().to_owned());
        Ok(Asked::Name(ServedModel { name, model: model.to_owned(), base }))
    }
}

/// That no two models have one name.
///
/// # Errors
/// [`NamedError::Twice`].
pub(super) fn check(models: &[Asked]) -> Result<(), NamedError> {
    let is_twice = |(n, model): &(usize, &Asked)| models[..*n].iter().any(|other| other.name() == model.name());
    match models.iter().enumerate().find(is_twice) {
        Some((_, model)) => Err(NamedError::Twice(model.name().to_owned())),
        None => Ok(()),
    }
}

/// A model with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// As requests name it.
    pub name: String,
    /// The folder of a base or of a fused model.
    pub base: PathBuf,
    /// The folder of an adapter over it.
    pub adapter: Option<PathBuf>,
}

/// What is wrong with a model's name on the command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamedError {
    /// It is not of the form that is read.
    #[error("`{0}` names no model: write FOLDER, FOLDER@ADAPTER_FOLDER or NAME=FOLDER")]
    Form(String),
    /// Two models have one name.
    #[error("two models are called `{0}`: give one of them another name, as NAME=FOLDER")]
    Twice(String),
}

impl FromStr for Named {
    type Err = NamedError;

    /// Without a name a model is called as its folder, and with an adapter `BASE@ADAPTER`. A folder that there is goes before a form: its
    /// path may have `=` and `@` in it.
    fn from_str(text: &str) -> Result<Named, NamedError> {
        read(text, |folder| Path::new(folder).is_dir())
    }
}

/// The same where `is_folder` tells which folders there are.
fn read(text: &str, is_folder: impl Fn(&str) -> bool) -> Result<Named, NamedError> {
    let form = || NamedError::Form(text.to_owned());
    let whole = parts(text, &is_folder).filter(|(base, adapter)| is_folder(base) && adapter.is_none_or(&is_folder));
    let (name, place) = match text.split_once('=') {
        Some((name, place)) if whole.is_none() => (Some(name), place),
        _ => (None, text),
    };
    let (base, adapter) = parts(place, &is_folder).ok_or_else(form)?;
    let last = |folder: &str| Path::new(folder).file_name().map(|name| name.to_string_lossy().into_owned());
    let own = || match adapter {
        Some(adapter) => Some(format!("{}@{}", last(base)?, last(adapter)?)),
        None => last(base),
    };
    let name = name.map(str::to_owned).or_else(own).filter(|name| !name.is_empty()).ok_or_else(form)?;
    Ok(Named { name, base: base.into(), adapter: adapter.map(PathBuf::from) })
}

/// A base and perhaps an adapter: at the `@` with a folder on either side, where there is one, and otherwise at the last.
fn parts<'a>(place: &'a str, is_folder: &impl Fn(&str) -> bool) -> Option<(&'a str, Option<&'a str>)> {
    if is_folder(place) {
        return Some((place, None));
    }
    let mut splits = place.rmatch_indices('@').map(|(at, _)| (&place[..at], &place[at + 1..]));
    let split = splits.find(|(base, adapter)| is_folder(base) && is_folder(adapter)).or_else(|| place.rsplit_once('@'));
    let (base, adapter) = split.map_or((place, None), |(base, adapter)| (base, Some(adapter)));
    (!base.is_empty() && adapter != Some("")).then_some((base, adapter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> (String, String, Option<String>) {
        let named: Named = text.parse().unwrap();
        let shown = |path: PathBuf| path.to_string_lossy().into_owned();
        (named.name, shown(named.base), named.adapter.map(shown))
    }

    #[test]
    fn a_model_is_called_as_its_folder_unless_it_is_named() {
        let is = |name: &str, base: &str, adapter: Option<&str>| {
            (name.to_owned(), base.to_owned(), adapter.map(str::to_owned))
        };
        assert_eq!(named("models/4b"), is("4b", "models/4b", None));
        assert_eq!(named("models/4b/"), is("4b", "models/4b/", None));
        assert_eq!(named("models/4b@out/tutor"), is("4b@tutor", "models/4b", Some("out/tutor")));
        assert_eq!(named("api=models/4b@out/tutor"), is("api", "models/4b", Some("out/tutor")));
    }

    #[test]
    fn a_folder_that_there_is_goes_before_a_form() {
        let there = ["m@1/4b", "a=b", "out@2/x=y"];
        let read = |text: &str| {
            let named = read(text, |folder| there.contains(&folder)).unwrap();
            let shown = |path: PathBuf| path.to_string_lossy().into_owned();
            (named.name, shown(named.base), named.adapter.map(shown))
        };
        let is = |name: &str, base: &str, adapter: Option<&str>| {
            (name.to_owned(), base.to_owned(), adapter.map(str::to_owned))
        };
        assert_eq!(read("m@1/4b"), is("4b", "m@1/4b", None));
        assert_eq!(read("a=b"), is("a=b", "a=b", None));
        assert_eq!(read("m@1/4b@out@2/x=y"), is("4b@x=y", "m@1/4b", Some("out@2/x=y")));
        assert_eq!(read("api=m@1/4b@out@2/x=y"), is("api", "m@1/4b", Some("out@2/x=y")));
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in ["", "=", "=models/4b", "a=", "4b@", "@tutor", "/", ".."] {
            assert_eq!(text.parse::<Named>(), Err(NamedError::Form(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn no_two_models_have_one_name() {
        let models = ["x/4b", "y/4b"].map(|text| Asked::Folder(text.parse().unwrap()));
        assert_eq!(check(&models), Err(NamedError::Twice("4b".to_owned())));
        assert_eq!(check(&models[..1]), Ok(()));
    }

    #[test]
    fn what_is_there_or_written_as_a_folder_is_one_and_all_else_a_name() {
        let asked = |text: &str| text.parse::<Asked>().unwrap();
        for text in ["src", "./none", "/none@/tutor", "api=none"] {
            assert!(matches!(asked(text), Asked::Folder(_)), "{text}");
        }
        let Asked::Name(model) = asked("qwen/4b@tutor@best") else { panic!("a folder") };
        assert_eq!((model.model.as_str(), model.base.as_str()), ("tutor@best", "qwen/4b"));
        assert_eq!((asked("production").name(), model.name.as_str()), ("production", "qwen/4b@tutor@best"));
    }
}
