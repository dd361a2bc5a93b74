//! Alerts as people change them, datasets, hunts, reputation, audit, privacy.
use std::net::IpAddr;

use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Client, ClientError, IMPORT, bool_word};
use crate::domain::http::alert::{Alert, AlertId, AlertUpdate};
use crate::domain::http::dataset::{Dataset, DatasetRequest, Hunt, HuntRequest};
use crate::domain::report::{
    AlertRequest, AnalysisReport, AnalyzeRequest, AuditReport, BulkReport, BulkUpdate, EraseReport, EraseRequest,
    ReputationRow, ResetReport, RotateReport, SourceList, SwitchReport, UpdateReport,
};

impl Client {
    fn tried<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&B>,
        dry_run: bool,
    ) -> Result<T, ClientError> {
        let mut request = self.request(method, path, &[("dry_run", bool_word(dry_run))]);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.wait_for(self.document(request))
    }

    fn gone(&self, path: &[&str], dry_run: bool) -> Result<SwitchReport, ClientError> {
        self.tried::<(), _>(Method::DELETE, path, None, dry_run)
    }

    /// Makes an alert.
    ///
    /// # Errors
    /// [`ClientError`], as for all requests.
    pub fn create_alert(&self, request: &AlertRequest, dry_run: bool) -> Result<Alert, ClientError> {
        self.tried(Method::POST, &["alerts"], Some(request), dry_run)
    }

    /// Changes an alert.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn update_alert(&self, id: AlertId, update: &AlertUpdate, dry_run: bool) -> Result<UpdateReport, ClientError> {
        self.tried(Method::PUT, &["alerts", &id.to_string()], Some(update), dry_run)
    }

    /// Changes several alerts, all of them or none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn update_alerts(&self, bulk: &BulkUpdate, dry_run: bool) -> Result<BulkReport, ClientError> {
        self.tried(Method::POST, &["alerts", "bulk-update"], Some(bulk), dry_run)
    }

    /// Takes an alert away.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn delete_alert(&self, id: AlertId, dry_run: bool) -> Result<SwitchReport, ClientError> {
        self.gone(&["alerts", &id.to_string()], dry_run)
    }

    /// Has a dataset, or a hunt's, analysed; waits as long as that takes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn analyze(&self, request: &AnalyzeRequest) -> Result<AnalysisReport, ClientError> {
        let request = self.request(Method::POST, &["alerts", "analyze"], &[]).timeout(IMPORT).json(request);
        self.wait_for(self.document_within(request, IMPORT))
    }

    /// Every dataset.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn datasets(&self) -> Result<Vec<Dataset>, ClientError> {
        self.wait_for(self.document(self.request(Method::GET, &["datasets"], &[])))
    }

    /// Makes a dataset.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn create_dataset(&self, request: &DatasetRequest, dry_run: bool) -> Result<Dataset, ClientError> {
        self.tried(Method::POST, &["datasets"], Some(request), dry_run)
    }

    /// Takes a dataset away.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn delete_dataset(&self, id: &str, dry_run: bool) -> Result<SwitchReport, ClientError> {
        self.gone(&["datasets", id], dry_run)
    }

    /// Every hunt.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn hunts(&self) -> Result<Vec<Hunt>, ClientError> {
        self.wait_for(self.document(self.request(Method::GET, &["hunts"], &[])))
    }

    /// Makes a hunt.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn create_hunt(&self, request: &HuntRequest, dry_run: bool) -> Result<Hunt, ClientError> {
        self.tried(Method::POST, &["hunts"], Some(request), dry_run)
    }

    /// Takes a hunt away.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn delete_hunt(&self, id: &str, dry_run: bool) -> Result<SwitchReport, ClientError> {
        self.gone(&["hunts", id], dry_run)
    }

    /// What speaks for and against an address.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn reputation(&self, address: IpAddr) -> Result<ReputationRow, ClientError> {
        self.wait_for(self.document(self.request(Method::GET, &["reputation", &address.to_string()], &[])))
    }

    /// The sources with evidence against them, the worst first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn reputations(&self, limit: u32, offset: u64) -> Result<SourceList, ClientError> {
        let query = [("limit", &*limit.to_string()), ("offset", &offset.to_string())];
        self.wait_for(self.document(self.request(Method::GET, &["reputation"], &query)))
    }

    /// Forgets what there is against an address.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn reset_reputation(&self, address: IpAddr, dry_run: bool) -> Result<ResetReport, ClientError> {
        self.tried::<(), _>(Method::DELETE, &["reputation", &address.to_string()], None, dry_run)
    }

    /// What happened since then.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn audit(&self, since: &str) -> Result<AuditReport, ClientError> {
        self.wait_for(self.document(self.request(Method::GET, &["audit"], &[("since", since)])))
    }

    /// Has addresses hashed with another key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn rotate_key(&self, forget: bool, dry_run: bool) -> Result<RotateReport, ClientError> {
        let query = [("forget", bool_word(forget)), ("dry_run", bool_word(dry_run))];
        self.wait_for(self.document(self.request(Method::POST, &["privacy", "rotate"], &query)))
    }

    /// Erases what is kept of somebody.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn erase(&self, request: &EraseRequest) -> Result<EraseReport, ClientError> {
        let request = self.request(Method::POST, &["privacy", "erase"], &[]).timeout(IMPORT).json(request);
        self.wait_for(self.document_within(request, IMPORT))
    }
}
