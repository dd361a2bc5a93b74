//! What people did about alerts and sources, taken in.
use super::super::{Told, Undone};
use super::Session;
use crate::adapters::clock;

impl Session<'_> {
    /// People changed an alert or took it away, or had somebody forgotten.
    pub(super) async fn by_people(&mut self, told: Told) {
        let triaged = match told {
            Told::Triaged(triaged) => triaged,
            Told::Unasked { names } => {
                self.detector.alerts.unask(&names, clock::now().wall);
                return;
            }
            Told::Asked { names, reply } => {
                let _gone = reply.send(self.detector.alerts.of_target(&names).cloned().collect());
                return;
            }
            Told::Erased { who, done } => {
                self.detector.alerts.forget_about(&who);
                self.detector.alerts.blot(&who);
                for change in &mut self.unsaved.alerts {
                    change.alert.blot(&who);
                }
                for name in who.names() {
                    self.detector.responder.forget_name(name);
                }
                self.gathered.forget(&who);
                // What waits is written before it is erased there, also what waits for what is being written.
                self.record();
                self.written().await;
                self.write();
                self.written().await;
                let _gone = done.send(());
                return;
            }
        };
        if triaged.is_closed {
            self.detector.alerts.forget(triaged.id);
        }
        let (now, responder) = (clock::now(), &mut self.detector.responder);
        for Undone { action, prefix, until } in triaged.undone {
            match until {
                Some(until) => responder.shortened(action, prefix, until, now),
                None => responder.lifted(action, prefix, now),
            }
        }
    }
}
