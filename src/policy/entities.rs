//! Callers and instances as Cedar sees them.
//!
//! Nothing that a caller wrote is ever parsed here: each name becomes an id as it stands, so that the subject
//! `x" || true` is a strange name and nothing more.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, LazyLock, OnceLock},
};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request as Question, RestrictedExpression,
};
use quick_cache::{
    UnitWeighter,
    sync::{Cache, DefaultLifecycle},
};

use super::Request;
use crate::domain::{Action, Caller, FastHashing, InstanceId, Region};

/// A caller as a Cedar principal: `User::"<prefix><sub>"` in `Group::"<prefix><group>"`, with its attributes.
///
/// It depends on the caller alone, so it can be made once and asked about for a thousand instances, and outlives a
/// reload of the policies. What it costs is paid with the first question, for most callers' answers are remembered.
#[derive(Clone, Debug)]
pub struct Principal {
    caller: Arc<Caller>,
    user: OnceLock<Arc<User>>,
}

/// The caller as an entity, with nobody beside it.
#[derive(Debug)]
struct User {
    uid: EntityUid,
    alone: Entities,
}

impl Principal {
    /// The principal of a caller.
    pub fn new(caller: &Arc<Caller>) -> Self {
        Self { caller: Arc::clone(caller), user: OnceLock::new() }
    }

    /// The id in policies.
    pub(super) fn uid(&self) -> &EntityUid {
        &self.user().uid
    }

    /// Whether a policy that says `principal in` this speaks of it.
    pub(super) fn is_in(&self, group: &EntityUid) -> bool {
        let User { uid, alone } = self.user();
        uid == group || alone.is_ancestor_of(group, uid)
    }

    fn user(&self) -> &User {
        self.user.get_or_init(|| Arc::new(User::new(&self.caller)))
    }
}

impl User {
    fn new(caller: &Caller) -> Self {
        let named = |kind: &EntityTypeName, name: &str| entity_uid(kind, format!("{}{name}", caller.prefix));
        let uid = named(&WORDS.user, &caller.subject);
        let groups: HashSet<_> = caller.groups.iter().map(|group| named(&WORDS.group, group)).collect();
        let scopes = RestrictedExpression::new_set(caller.scopes.iter().map(|scope| string(scope)));
        let mut attributes =
            HashMap::from([("issuer".to_owned(), string(&caller.issuer)), ("scopes".to_owned(), scopes)]);
        attributes.extend(caller.email.as_deref().map(|email| ("email".to_owned(), string(email))));
        attributes.extend(caller.client.as_deref().map(|client| ("client".to_owned(), string(client))));

        let user = Entity::new(uid.clone(), attributes, groups).expect("strings have nothing that could fail in them");
        let alone = Entities::from_entities([user], None).expect("one entity has no double and no cycle");
        Self { uid, alone }
    }
}

/// The id of an action in policies.
pub(super) fn action_uid(action: Action) -> &'static EntityUid {
    WORDS.action(action)
}

/// The id of a region in policies.
pub(super) fn region_uid(region: &Region) -> EntityUid {
    entity_uid(&WORDS.region, region.as_str())
}

/// The type of regions in policies.
pub(super) fn region_type() -> &'static EntityTypeName {
    &WORDS.region
}

/// The type of instances in policies.
pub(super) fn instance_type() -> &'static EntityTypeName {
    &WORDS.instance
}

/// The question in Cedar's terms.
pub(super) fn request(request: &Request<'_>) -> Question {
    Question::new(
        request.principal.user().uid.clone(),
        WORDS.action(request.action).clone(),
        entity_uid(&WORDS.instance, request.instance.as_str()),
        context(request),
        None,
    )
    .expect("only a schema could refuse a request, and a test holds ours to it")
}

/// What Cedar may look up: the principal and the instance. Groups and regions have no attributes and no parents, so
/// being named as a parent is all they need.
pub(super) fn store(request: &Request<'_>) -> Entities {
    let instance = instance(request.instance, request.region);
    request
        .principal
        .user()
        .alone
        .clone()
        .add_entities([instance], None)
        .expect("a user and an instance are neither doubles nor a cycle")
}

fn instance(id: &InstanceId, region: &Region) -> Entity {
    Entity::new_no_attrs(entity_uid(&WORDS.instance, id.as_str()), HashSet::from([region_uid(region)]))
}

fn context(request: &Request<'_>) -> Context {
    let mut pairs =
        vec![("client_ip".to_owned(), ip(request.client_ip)), ("reason".to_owned(), string(request.reason))];
    if request.action == Action::ReadBackupUrls {
        pairs.push(("network".to_owned(), string(request.network.as_str())));
    }
    Context::from_pairs(pairs).expect("the names differ, and a printed address is an address")
}

/// Cedar refuses the notation `::ffff:10.0.0.1`, and `isInRange(ip("10.0.0.0/8"))` is meant for that address too.
fn ip(address: IpAddr) -> RestrictedExpression {
    let address = address.to_canonical();
    ADDRESSES.get(&address).unwrap_or_else(|| {
        let expression = RestrictedExpression::new_ip(address.to_string());
        ADDRESSES.insert(address, expression.clone());
        expression
    })
}

/// The addresses of who asked lately, some hundred bytes each. To make one, Cedar parses the name of its function `ip`,
/// which takes more than a quarter of a decision.
static ADDRESSES: LazyLock<Cache<IpAddr, RestrictedExpression, UnitWeighter, FastHashing>> =
    LazyLock::new(|| Cache::with(1024, 1024, UnitWeighter, FastHashing::default(), DefaultLifecycle::default()));

fn string(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn entity_uid(kind: &EntityTypeName, name: impl AsRef<str>) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(name))
}

/// The names of the schema, parsed once.
struct Words {
    user: EntityTypeName,
    group: EntityTypeName,
    instance: EntityTypeName,
    region: EntityTypeName,
    list_instances: EntityUid,
    list_backups: EntityUid,
    read_backup_urls: EntityUid,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let kind = |name: &str| name.parse::<EntityTypeName>().expect("a capitalised word is a type name");
    let action = |action: Action| entity_uid(&kind("Action"), action.as_str());
    Words {
        user: kind("User"),
        group: kind("Group"),
        instance: kind("Instance"),
        region: kind("Region"),
        list_instances: action(Action::ListInstances),
        list_backups: action(Action::ListBackups),
        read_backup_urls: action(Action::ReadBackupUrls),
    }
});

impl Words {
    fn action(&self, action: Action) -> &EntityUid {
        match action {
            Action::ListInstances => &self.list_instances,
            Action::ListBackups => &self.list_backups,
            Action::ReadBackupUrls => &self.read_backup_urls,
        }
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::EvalResult;
    use proptest::prelude::*;

    use super::{
        super::{compile::schema, fixtures::*},
        *,
    };

    #[test]
    fn every_request_and_every_entity_conforms_to_the_schema() {
        let full = Caller {
            email: Some("alice@example.internal".into()),
            scopes: vec!["backups:read".into(), "openid".into()],
            client: Some("console".into()),
            ..caller("alice", &["dba", "oncall-guangzhou"])
        };
        let (schema, region) = (schema(), region("ap-chengdu"));

        for caller in [full, caller("alice", &[])] {
            let principal = principal_of(&caller);
            for action in Action::ALL {
                let ask = Request { action, region: &region, ..question(&principal) };
                let entities = store(&ask);
                let asked = request(&ask);

                let checked = Entities::from_entities(entities.iter().cloned(), Some(&schema));
                let asked = Question::new(
                    asked.principal().cloned().unwrap(),
                    asked.action().cloned().unwrap(),
                    asked.resource().cloned().unwrap(),
                    asked.context().cloned().unwrap(),
                    Some(&schema),
                );

                assert_eq!(entities.len(), 2);
                assert!(checked.is_ok(), "{action:?}: {:?}", checked.err());
                assert!(asked.is_ok(), "{action:?}: {:?}", asked.err());
            }
        }
    }

    #[test]
    fn a_principal_carries_the_issuers_prefix_in_its_name_and_in_its_groups() {
        let caller = Caller { prefix: "k8s:".into(), ..caller("alice", &["dba", "dba"]) };

        let principal = principal_of(&caller);

        assert_eq!(principal.user().uid.to_string(), r#"User::"k8s:alice""#);
        let groups: Vec<_> =
            principal.user().alone.ancestors(&principal.user().uid).unwrap().map(ToString::to_string).collect();
        assert_eq!(groups, [r#"Group::"k8s:dba""#]);
    }

    #[test]
    fn the_network_is_told_only_where_addresses_are_handed_out() {
        let principal = principal_of(&caller("alice", &[]));

        for action in Action::ALL {
            let asked = request(&Request { action, ..question(&principal) });

            let network = asked.context().and_then(|context| context.get("network"));
            let expected = (action == Action::ReadBackupUrls).then(|| EvalResult::String("both".to_owned()));
            assert_eq!(network, expected, "{action:?}");
        }
    }

    proptest! {
        #[test]
        fn every_address_is_one_that_cedar_can_read(bits in any::<u128>(), shift in 0_u32..128) {
            let principal = principal_of(&caller("alice", &[]));
            for address in [IpAddr::from((bits >> shift).to_be_bytes()), IpAddr::from((bits as u32).to_be_bytes())] {
                // The second time it is one that is known.
                let [first, second] = [(); 2].map(|()| {
                    let context = context(&Request { client_ip: address, ..question(&principal) });
                    context.get("client_ip")
                });
                let expected = format!("ip(\"{}\")", address.to_canonical());
                prop_assert_eq!(first.as_ref().map(ToString::to_string), Some(expected));
                prop_assert_eq!(first, second);
            }
        }

        #[test]
        fn any_text_is_a_name_that_comes_back_as_written(prefix in ".{0,8}", subject in ".{0,32}") {
            let caller = Caller { prefix: prefix.as_str().into(), ..caller(&subject, &[]) };
            let principal = principal_of(&caller);
            prop_assert_eq!(principal.user().uid.id().unescaped(), format!("{prefix}{subject}"));
        }
    }
}
