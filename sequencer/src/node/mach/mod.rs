//! MACH inside the node: attesting results of blocks, and collecting the certificates that make them
//! final.
//!
//! ```text
//!  pipeline ─ executed ─▶ ┌────────────────────────────┐ ─▶ store (sign-once record | certificates)
//!  gate ── attestations ▶ │ attester ⇄ aggregator      │ ─▶ links (attestations, certificates)
//!  store ─── durable ───▶ └────────────────────────────┘ ─▶ Finality (APIs, status ladder, alerts)
//! ```
//!
//! Both cores are pure (`squad_mach`); the thread `mach` is their only owner and the only place where
//! BLS is computed, so that a pairing never holds up ordering. Nothing waits for this thread: who gives it
//! an executed block or a frame drops it if too much waits already ([`inbox`]), which is harmless, since a
//! certificate covers the blocks below it and peers repeat themselves.
//!
//! Rules of the shell:
//!
//! 1. A signature leaves after its record is synced in the safety database, and only then.
//! 2. A peer's attestation is its own: links are authenticated, so the sender is known.
//! 3. On connect the last certificate is sent; so it is to a peer that repeats an attestation for a
//!    height that is certified here: it lacks the certificate. Operators take turns by height to send new
//!    certificates to all, so that one whose links lost attestations catches up.
//! 4. An operator whose own result a quorum contradicts stops attesting until it is started again, does
//!    not call anything final from there on, and keeps both claims as evidence.

mod alerts;
mod evidence;
mod inbox;
mod metrics;
mod proofs;
mod recover;
mod results;
mod thread;
mod view;

pub(crate) use alerts::{AlertKind, AlertRecord};
pub(crate) use inbox::{MachInput, MachReceiver, MachSender, channel};
pub(crate) use metrics::MachMetrics;
pub(crate) use proofs::{ProofError, handover, rollup_proof, transaction_proof};
pub(crate) use recover::recover;
pub(crate) use results::statement_of;
pub(crate) use thread::{MachLoop, World};
pub(crate) use view::Finality;
