//! Answers that are read while they come, such as exports.

use serde::de::DeserializeOwned;

use super::{ANSWER_TIMEOUT, Call, ClientError, Document, explain, refused};

/// An answer that is read while it comes.
#[derive(Debug)]
pub struct Stream {
    response: reqwest::Response,
    url: String,
}

impl Stream {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// [`ClientError::BrokeOff`], also where nothing comes for long.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let next = tokio::time::timeout(ANSWER_TIMEOUT, self.response.chunk()).await;
        match next {
            Ok(Ok(chunk)) => Ok(chunk.map(|bytes| bytes.to_vec())),
            Ok(Err(_)) | Err(_) => Err(self.broke_off()),
        }
    }

    /// A line as the type that the API says it is.
    ///
    /// # Errors
    /// [`ClientError::Strange`] where it is not.
    pub fn read<T: DeserializeOwned>(&self, line: &[u8]) -> Result<T, ClientError> {
        let document =
            Document { bytes: Vec::new(), url: self.url.clone(), status: self.response.status() };
        document.read_bytes(line)
    }

    /// That the answer ended before its end.
    pub fn broke_off(&self) -> ClientError {
        ClientError::BrokeOff { url: self.url.clone() }
    }
}

impl Call<'_> {
    /// Sends the call, to read the answer while it comes, however long that takes.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn stream(self) -> Result<Stream, ClientError> {
        let Self { client, method, url, .. } = self;
        let mut request = client.http.request(method, url.clone());
        if let Some(key) = &client.key {
            request = request.header(reqwest::header::AUTHORIZATION, key);
        }
        let failed = |error: reqwest::Error| explain(client.base(), &error, ANSWER_TIMEOUT, 0);
        let begun = tokio::time::timeout(ANSWER_TIMEOUT, request.send()).await;
        let Ok(begun) = begun else {
            let (url, seconds) = (client.base().to_owned(), ANSWER_TIMEOUT.as_secs());
            return Err(ClientError::Silent { url, seconds });
        };
        let response = begun.map_err(failed)?;
        let status = response.status();
        if status.is_success() {
            return Ok(Stream { response, url: url.into() });
        }
        let bytes = response.bytes().await.map_err(failed)?;
        Err(refused(url.as_str(), status, &bytes))
    }
}
