//! What is deployed: components come in, are kept, are given out and removed.

use durawasm_proto::v1;

use crate::stand::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_off_or_damaged_is_refused_and_nothing_is_kept() {
    let server = Server::start().await;
    let client = server.client();
    let bytes = b"all of the bytes".as_slice();
    let good = component("1.0", bytes);
    let refusals: [&[&[u8]]; 4] =
        [&[], &[&bytes[..5], &bytes[5..9]], &[b"All of the bytes"], &[bytes, b"and one more"]];
    for parts in refusals {
        refused(upload(&client, good.clone(), ALL, parts).await, Code::InvalidArgument);
    }
    refused(
        upload(&client, v1::ComponentVersion { bytes: 1 << 40, ..good.clone() }, 0, &[bytes]).await,
        Code::InvalidArgument,
    );
    refused(client.own().deploy(tokio_stream::iter([v1::DeployRequest::default()])).await, Code::InvalidArgument);
    let list = client.own().list_deployments(v1::ListDeploymentsRequest::default()).await.unwrap().into_inner();
    assert_eq!(list.deployments, Some(v1::Deployments::default()));
    refused(fetch(&client, &good.digest).await, Code::NotFound);
    assert!(!upload(&client, good.clone(), ALL, &[&bytes[..3], &bytes[3..]]).await.unwrap().already_there);
    // The second time no bytes are wanted.
    assert!(upload(&client, good, ALL, &[]).await.unwrap().already_there);
}

/// An upload that has come in for the most part, and goes on as its parts are sent.
struct Upload {
    parts: tokio::sync::mpsc::Sender<v1::DeployRequest>,
    call: tokio::task::JoinHandle<Result<v1::DeployResponse, tonic::Status>>,
    sent: u64,
}

impl Upload {
    /// As large as it must be to be sure that the scheduler takes it: more than may be on the way to somebody who does not read.
    const BYTES: u64 = 24 << 20;

    async fn begin(client: &Client) -> Self {
        let (parts, received) = tokio::sync::mpsc::channel(1);
        let mut own = client.own();
        let stream = tokio_stream::wrappers::ReceiverStream::new(received);
        let call = tokio::spawn(async move { own.deploy(stream).await.map(tonic::Response::into_inner) });
        let zeros = vec![0; usize::try_from(Self::BYTES).unwrap()];
        let component = Some(component("1.0", &zeros));
        let deployment = v1::Deployment { component, share: ALL, revision: None };
        let mut upload = Self { parts, call, sent: 0 };
        upload.send(v1::deploy_request::Part::Deployment(deployment)).await.expect("it is taken");
        while upload.sent < Self::BYTES - (1 << 20) {
            upload.more().await.expect("it is taken");
        }
        upload
    }

    async fn send(&self, part: v1::deploy_request::Part) -> Result<(), ()> {
        let sending = self.parts.send(v1::DeployRequest { part: Some(part) });
        soon("a part is taken", sending).await.map_err(drop)
    }

    async fn more(&mut self) -> Result<(), ()> {
        self.sent += 1 << 20;
        self.send(v1::deploy_request::Part::Data(vec![0; 1 << 20])).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_connection_breaks_leaves_nothing_and_the_next_one_waits_for_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::on_disk(folder.path()).await;
    let client = server.client();
    let broken = Upload::begin(&server.another_connection().await).await;
    let mut other = tokio::spawn({
        let client = client.clone();
        async move { deploy(&client, "2.0", ALL).await }
    });
    // One at a time comes in: the other one has to wait, however long that is.
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), &mut other).await.is_err());
    broken.call.abort();
    drop(broken);
    let deployments = soon("the other deployment", other).await.unwrap();
    let versions: Vec<&str> = deployments.versions.iter().map(|version| version.version.as_str()).collect();
    assert_eq!((versions, deployments.revision), (vec!["2.0"], 1));
    let files = std::fs::read_dir(folder.path().join("default.components")).unwrap();
    assert_eq!(files.count(), 2, "the catalogue and the other component");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_into_a_hub_that_is_deleted_meanwhile_is_refused_and_leaves_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::on_disk(folder.path()).await;
    let other = server.hub("other");
    other.rpc().create_task_hub(pb::CreateTaskHubRequest::default()).await.unwrap();
    let mut upload = Upload::begin(&other).await;
    soon("the deletion", other.rpc().delete_task_hub(pb::DeleteTaskHubRequest {})).await.unwrap();
    // The scheduler need not take it any more.
    let _ = upload.more().await;
    drop(upload.parts);
    refused(soon("an answer", upload.call).await.unwrap(), Code::Unavailable);
    assert!(!folder.path().join("other.components").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_version_with_another_content_is_refused_and_what_is_there_is_untouched() {
    let server = Server::start().await;
    let client = server.client();
    let before = deploy(&client, "1.0", ALL).await;
    refused(upload(&client, component("1.0", b"other"), ALL, &[b"other"]).await, Code::AlreadyExists);
    let same_offer = v1::ComponentVersion { name: "store".to_owned(), ..component("1.0", b"other") };
    refused(upload(&client, same_offer, ALL, &[b"other"]).await, Code::AlreadyExists);
    let list = client.own().list_deployments(v1::ListDeploymentsRequest::default()).await.unwrap().into_inner();
    assert_eq!(list.deployments, Some(before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_removed_when_nobody_needs_it_and_not_before_unless_it_is_forced() {
    let server = Server::start().await;
    let client = server.client();
    deploy(&client, "1.0", ALL).await;
    deploy(&client, "1.1", ALL).await;
    client.start_with("a", "o", |request| request.version = Some("1.0".to_owned())).await.unwrap();
    refused(remove(&client, "1.0", false).await, Code::FailedPrecondition);
    refused(remove(&client, "1.1", false).await, Code::FailedPrecondition);
    refused(remove(&client, "7", true).await, Code::NotFound);
    client.terminate("a", None, false).await.unwrap();
    client.end("a").await;
    let left = remove(&client, "1.0", false).await.unwrap();
    assert_eq!(left.versions.len(), 1);
    assert!(remove(&client, "1.1", true).await.unwrap().defaults.is_empty());
    refused(fetch(&client, &content(b"bytes of 1.0")).await, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_needed_by_open_activities_and_the_last_one_by_the_entities_that_there_are() {
    let server = Server::start().await;
    let client = server.client();
    let definition = |name: &str| vec![v1::Definition { name: name.to_owned(), ..Default::default() }];
    for version in ["1.0", "1.1"] {
        let bytes = format!("bytes of {version}");
        let component = v1::ComponentVersion {
            orchestrators: Vec::new(),
            activities: definition("w"),
            entities: definition("Counter"),
            ..component(version, bytes.as_bytes())
        };
        upload(&client, component, 0, &[bytes.as_bytes()]).await.unwrap();
    }
    let mut worker = Worker::connect(&client).await;
    client.start("a", "of another component").await;
    let task = call_with(1, "w", |task| task.version = Some("1.0".to_owned()));
    worker.episode_of("a").await.answer(vec![task]).await;
    let open = worker.call().await;
    refused(remove(&client, "1.0", false).await, Code::FailedPrecondition);
    open.complete("1").await;
    worker.episode_of("a").await.answer(vec![complete(2, "1")]).await;
    client.end("a").await;
    client.signal("@Counter@a", "add", None).await;
    remove(&client, "1.0", false).await.expect("another one runs its entities");
    refused(remove(&client, "1.1", false).await, Code::FailedPrecondition);
    let batch = worker.batch_of("@counter@a").await;
    refused(remove(&client, "1.1", false).await, Code::FailedPrecondition);
    batch.answer(&["1"], Some("a state")).await;
    refused(remove(&client, "1.1", false).await, Code::FailedPrecondition);
    client.signal("@Counter@a", "forget", None).await;
    worker.batch_of("@counter@a").await.answer(&["1"], None).await;
    remove(&client, "1.1", false).await.expect("there are none any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_what_is_deployed_and_each_change_and_a_late_decision_is_refused() {
    let server = Server::start().await;
    let client = server.client();
    let mut changes = client.own().watch_deployments(v1::WatchDeploymentsRequest {}).await.unwrap().into_inner();
    assert_eq!(soon("what there is", changes.message()).await.unwrap(), Some(v1::Deployments::default()));
    let deployed = deploy(&client, "1.0", ALL).await;
    assert_eq!(soon("the change", changes.message()).await.unwrap().as_ref(), Some(&deployed));
    // Two that looked at the same: the first decides.
    let activate = |revision| v1::ActivateVersionRequest {
        name: "shop".to_owned(),
        version: "1.1".to_owned(),
        share: 1,
        revision: Some(revision),
    };
    let looked_at = deploy(&client, "1.1", 0).await.revision;
    client.own().activate_version(activate(looked_at)).await.unwrap();
    refused(client.own().activate_version(activate(looked_at)).await, Code::Aborted);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_damaged_on_disk_are_never_given_out_and_a_new_upload_mends_them() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::on_disk(folder.path()).await;
    let client = server.client();
    let deployed = deploy(&client, "1.0", ALL).await;
    let digest = &deployed.versions[0].digest;
    let components = folder.path().join("default.components");
    let file = components.join(format!("{digest}.wasm"));
    type Damage = fn(&std::path::Path);
    let damages: [(&str, Damage); 2] = [
        ("changed", |file| std::fs::write(file, "bytes of 1.O").unwrap()),
        ("removed", |file| std::fs::remove_file(file).unwrap()),
    ];
    let bytes = b"bytes of 1.0".as_slice();
    for (what, damage) in damages {
        damage(&file);
        refused(fetch(&client, digest).await, Code::DataLoss);
        // Now bytes are wanted, and they must be the right ones.
        refused(upload(&client, component("1.0", bytes), ALL, &[]).await, Code::InvalidArgument);
        refused(upload(&client, component("1.0", bytes), ALL, &[b"bytes of 1.O"]).await, Code::InvalidArgument);
        refused(fetch(&client, digest).await, Code::DataLoss);
        let mended = upload(&client, component("1.0", bytes), ALL, &[bytes]).await.unwrap();
        assert_eq!((mended.already_there, mended.deployments.as_ref()), (true, Some(&deployed)), "{what}");
        assert_eq!(fetch(&client, digest).await.unwrap(), bytes, "{what}");
    }
    server.stop().await;
    std::fs::write(components.join("catalogue"), "dwdepl01 nonsense").unwrap();
    let damaged = Server::try_on_disk(folder.path()).await;
    assert!(damaged.is_err_and(|why| why.contains("catalogue")));
}

#[tokio::test(flavor = "multi_thread")]
async fn hubs_have_deployments_of_their_own_which_go_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::on_disk(folder.path()).await;
    let other = server.hub("other");
    other.rpc().create_task_hub(pb::CreateTaskHubRequest::default()).await.unwrap();
    deploy(&other, "1.0", ALL).await;
    let list = async |client: &Client| {
        let list = client.own().list_deployments(v1::ListDeploymentsRequest::default()).await.unwrap().into_inner();
        list.deployments.unwrap().versions.len()
    };
    assert_eq!((list(&server.client()).await, list(&other).await), (0, 1));
    let recreate = pb::CreateTaskHubRequest { recreate_if_exists: true };
    other.rpc().create_task_hub(recreate).await.unwrap();
    assert_eq!(list(&other).await, 0);
    assert!(!folder.path().join("other.components").exists());
}
