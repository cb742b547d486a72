//! What distinguishes several findings of one kind.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What a finding is about, for kinds that can be found several times at once.
///
/// The text form is the kind and the name, joined by a colon: `voice:stun-a`, `interface:eth0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Entity {
    /// A voice, by name.
    Voice(String),
    /// One of the user's nodes, by name. If two share a name, part of the id follows.
    Node(String),
    /// A network interface, by name.
    Interface(String),
    /// An interceptor that answers in place of a public resolver.
    Interceptor(Interceptor),
    /// A program, by name, or a user whose programs' names cannot be read: `user alice`.
    Program(String),
}

/// The operator of an interceptor: of the server that answered in place of a public resolver.
///
/// The order is by gravity, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interceptor {
    /// The home line's operator.
    Home,
    /// Any other operator.
    Stranger,
    /// The exit's operator. Many VPN providers intercept DNS on purpose.
    Exit,
}

impl Interceptor {
    /// All interceptors, the gravest first.
    pub const ALL: [Self; 3] = [Self::Home, Self::Stranger, Self::Exit];

    /// Returns the name used in the text form.
    fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Exit => "exit",
            Self::Stranger => "stranger",
        }
    }
}

impl Entity {
    /// Returns the entity's name without its kind, for titles.
    pub fn name(&self) -> &str {
        match self {
            Self::Voice(name) | Self::Node(name) | Self::Interface(name) | Self::Program(name) => name,
            Self::Interceptor(interceptor) => interceptor.name(),
        }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Voice(_) => "voice",
            Self::Node(_) => "node",
            Self::Interface(_) => "interface",
            Self::Interceptor(_) => "interceptor",
            Self::Program(_) => "program",
        };
        write!(f, "{kind}:{}", self.name())
    }
}

/// The text is not the text form of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEntity(String);

impl fmt::Display for UnknownEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not an entity; write voice:NAME, node:NAME, interface:NAME, program:NAME or \
             interceptor:home, interceptor:exit, interceptor:stranger",
            self.0
        )
    }
}

impl std::error::Error for UnknownEntity {}

impl FromStr for Entity {
    type Err = UnknownEntity;

    fn from_str(text: &str) -> Result<Self, UnknownEntity> {
        let unknown = || UnknownEntity(text.to_owned());
        let (kind, name) = text.split_once(':').ok_or_else(unknown)?;
        match kind {
            "voice" => Ok(Self::Voice(name.to_owned())),
            "node" => Ok(Self::Node(name.to_owned())),
            "interface" => Ok(Self::Interface(name.to_owned())),
            "program" => Ok(Self::Program(name.to_owned())),
            "interceptor" => {
                let interceptor = Interceptor::ALL.into_iter().find(|interceptor| interceptor.name() == name);
                interceptor.map(Self::Interceptor).ok_or_else(unknown)
            }
            _ => Err(unknown()),
        }
    }
}

impl From<Entity> for String {
    fn from(entity: Entity) -> Self {
        entity.to_string()
    }
}

impl TryFrom<String> for Entity {
    type Error = UnknownEntity;

    fn try_from(text: String) -> Result<Self, UnknownEntity> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entity_survives_its_text_form() {
        let mut entities = vec![
            Entity::Voice("stun: a".to_owned()),
            Entity::Node("home-server (7QK2)".to_owned()),
            Entity::Interface("eth0".to_owned()),
            Entity::Program("user: alice".to_owned()),
        ];
        entities.extend(Interceptor::ALL.map(Entity::Interceptor));
        for entity in entities {
            assert_eq!(entity.to_string().parse(), Ok(entity));
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_valid_forms() {
        for text in ["", "eth0", "planet:mars", "interceptor:aunt"] {
            let refusal = text.parse::<Entity>().unwrap_err().to_string();
            assert!(refusal.contains("voice:NAME"), "{refusal}");
        }
    }
}
