//! `authorize`: what the policies decide about a caller, and which of them decide. It asks nobody but the files, and an
//! issuer for its keys where a token is to be verified.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;

use super::{Outcome, output};
use crate::{
    config::Config,
    domain::{Action, Caller, Clock, InstanceId, Network, Region},
    identity::{Denial, Identity, IdentityError, IssuerSettings},
    policy::{Decision, Policies, Principal, Request},
};

/// The arguments of `authorize`.
#[derive(Args)]
pub(super) struct Question {
    /// A file with the caller's token, which is verified as the gateway would
    #[arg(long, value_name = "FILE", required_unless_present = "sub")]
    token_file: Option<PathBuf>,

    #[command(flatten)]
    claims: Claims,

    /// The instance, such as crs-4y9t57vt
    #[arg(long, value_name = "ID", value_parser = instance)]
    instance: InstanceId,

    /// The region that the instance is in, one of tencent.regions
    #[arg(long, value_name = "REGION", value_parser = region)]
    region: Region,

    /// What the caller wants to do: ListInstances, ListBackups or ReadBackupUrls
    #[arg(long, value_name = "ACTION", value_parser = action)]
    action: Action,

    /// The addresses that are asked for: public, inner or both
    #[arg(long, default_value = "both", value_name = "NETWORK", value_parser = network)]
    network: Network,

    /// What X-Access-Reason would say
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,

    /// The address that the caller comes from
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "IP")]
    client_ip: IpAddr,
}

/// The claims of a caller in place of a token.
#[derive(Args)]
struct Claims {
    /// The caller's `sub`, without the issuer's prefix
    #[arg(long, value_name = "SUB", conflicts_with = "token_file")]
    sub: Option<String>,

    /// A group of the caller, without the issuer's prefix; may be given more than once
    #[arg(long, value_name = "GROUP", requires = "sub")]
    group: Vec<String>,

    /// The name of the caller's issuer (auth.issuers.name); needed where there are several
    #[arg(long, value_name = "NAME", requires = "sub")]
    issuer: Option<String>,

    /// The caller's verified email address
    #[arg(long, value_name = "ADDRESS", requires = "sub")]
    email: Option<String>,

    /// A scope of the token; may be given more than once
    #[arg(long, value_name = "SCOPE", requires = "sub")]
    scope: Vec<String>,

    /// The client that the token was issued to
    #[arg(long, value_name = "CLIENT", requires = "sub")]
    client: Option<String>,
}

/// Why there is no decision.
enum NoDecision {
    /// The token is not accepted, so the gateway would answer 401: a no, before any policy.
    Refused(Denial),
    /// The question cannot be answered as it was asked.
    Wrong(String),
}

/// Decides as the gateway would for a caller who names this region.
pub(super) fn run(question: &Question, config: &Config) -> Outcome {
    match decide(question, config) {
        Ok(decision) => {
            tell(&decision);
            if decision.allowed { Outcome::Done } else { Outcome::No }
        }
        Err(NoDecision::Refused(denial)) => {
            output::line("deny");
            output::line(&format!("the token is not accepted ({}): {denial}", denial.as_str()));
            Outcome::No
        }
        Err(NoDecision::Wrong(message)) => {
            output::error(&message);
            Outcome::Wrong
        }
    }
}

fn tell(decision: &Decision) {
    output::line(if decision.allowed { "allow" } else { "deny" });
    for id in decision.policies.iter().filter(|id| !decision.failed.contains(id)) {
        output::line(&format!("{} {id}", if decision.allowed { "permitted by" } else { "forbidden by" }));
    }
    for id in &decision.failed {
        output::line(&format!("failed to evaluate: {id}"));
    }
    if decision.policies.is_empty() {
        output::line("no policy permits it");
    }
}

fn decide(question: &Question, config: &Config) -> Result<Decision, NoDecision> {
    if !config.tencent.regions.contains(&question.region) {
        let names: Vec<_> = config.tencent.regions.iter().map(Region::as_str).collect();
        return Err(NoDecision::Wrong(format!("--region must be one of {}", names.join(", "))));
    }
    let policies = Policies::load(&config.policy.dir).map_err(|error| NoDecision::Wrong(error.to_string()))?;
    let caller = match &question.token_file {
        Some(path) => caller_of_token(path, config)?,
        None => Arc::new(question.claims.caller(&config.auth.issuers).map_err(NoDecision::Wrong)?),
    };
    Ok(policies.decide(&Request {
        principal: &Principal::new(&caller),
        action: question.action,
        instance: &question.instance,
        region: &question.region,
        network: question.network,
        client_ip: question.client_ip,
        reason: &question.reason,
    }))
}

fn caller_of_token(path: &Path, config: &Config) -> Result<Arc<Caller>, NoDecision> {
    let content = fs::read_to_string(path)
        .map_err(|error| NoDecision::Wrong(format!("{} cannot be read: {}", path.display(), error.kind())))?;
    let lines = |errors: Vec<IdentityError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let (identity, refresher) =
        Identity::new(&config.auth, Clock::machine()).map_err(|errors| NoDecision::Wrong(lines(errors)))?;
    actix_web::rt::System::new().block_on(async {
        refresher.run_once().await;
        match identity.authenticate(content.trim()).await {
            Ok(verified) => Ok(Arc::clone(&verified.caller)),
            Err(denial @ Denial::KeysUnavailable) => Err(NoDecision::Wrong(denial.to_string())),
            Err(denial) => Err(NoDecision::Refused(denial)),
        }
    })
}

impl Claims {
    fn caller(&self, issuers: &[IssuerSettings]) -> Result<Caller, String> {
        let names = || issuers.iter().map(|issuer| &*issuer.name).collect::<Vec<_>>().join(", ");
        let issuer = match (&self.issuer, issuers) {
            (None, [only]) => only,
            (None, _) => return Err(format!("--issuer must say whose the caller is: {}", names())),
            (Some(name), _) => issuers
                .iter()
                .find(|issuer| *issuer.name == **name)
                .ok_or_else(|| format!("--issuer must be one of {}", names()))?,
        };
        let all = |texts: &[String]| texts.iter().map(|text| text.as_str().into()).collect();
        Ok(Caller {
            issuer: Arc::clone(&issuer.name),
            prefix: Arc::clone(&issuer.prefix),
            subject: self.sub.as_deref().unwrap_or_default().into(),
            groups: all(&self.group),
            email: self.email.as_deref().map(Into::into),
            scopes: all(&self.scope),
            client: self.client.as_deref().map(Into::into),
        })
    }
}

fn instance(text: &str) -> Result<InstanceId, String> {
    InstanceId::try_from(text).map_err(|error| error.to_string())
}

fn region(text: &str) -> Result<Region, String> {
    Region::try_from(text).map_err(|error| error.to_string())
}

fn action(text: &str) -> Result<Action, String> {
    let known = Action::ALL.into_iter().find(|action| action.as_str() == text);
    known.ok_or_else(|| format!("must be one of {}", Action::ALL.map(Action::as_str).join(", ")))
}

fn network(text: &str) -> Result<Network, String> {
    let networks = [Network::Public, Network::Inner, Network::Both];
    let known = networks.into_iter().find(|network| network.as_str() == text);
    known.ok_or_else(|| format!("must be one of {}", networks.map(Network::as_str).join(", ")))
}
