//! What is deployed: a zip for each function's code, and the templates that name them.
//!
//! Everything goes by its content: equal code gives an equal zip (files sorted, no times), an equal
//! key and an equal template, so that deploying twice changes nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::template::{Template, code_folder, is_local};
use crate::exit::Usage;

/// Where in the bucket everything is.
const FOLDER: &str = "fluxus";

/// Characters of a hash in keys and in `Release`: enough that no two are ever equal.
const HASH_CHARS: usize = 32;

/// Templates within templates within templates are somebody's mistake.
const MAX_TEMPLATE_DEPTH: usize = 4;

/// A file for the bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    /// What it is for people: `fluxus-core`.
    pub name: String,
    /// Its key, which has its hash.
    pub key: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A template ready to deploy, and the files that it names.
#[derive(Debug)]
pub struct Package {
    /// The template itself, among `artifacts` too.
    pub template: Artifact,
    /// All files, the template first.
    pub artifacts: Vec<Artifact>,
    /// The hash over all code: the template's parameter `Release`.
    pub release: String,
}

/// The bucket, and the address of what is in it.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// The address that its keys follow.
    pub url: String,
}

impl Package {
    /// Packages a template whose code was built to `target`.
    ///
    /// # Errors
    /// [`Usage`] where code or a nested template is not there.
    pub fn of(template: &Template, target: &Path, bucket: &Bucket) -> anyhow::Result<Self> {
        let mut packer =
            Packer { target, bucket, artifacts: BTreeMap::new(), zips: BTreeMap::new() };
        let template = packer.template(template, 0)?;
        let mut release = String::new();
        for artifact in packer.zips.values() {
            let _infallible = writeln!(release, "{}", artifact.key);
        }
        let release = hash(release.as_bytes());
        let nested = packer.artifacts.into_values();
        let artifacts = std::iter::once(template.clone())
            .chain(nested)
            .chain(packer.zips.into_values())
            .collect();
        Ok(Self { template, artifacts, release })
    }
}

struct Packer<'a> {
    target: &'a Path,
    bucket: &'a Bucket,
    /// Nested templates, by their keys.
    artifacts: BTreeMap<String, Artifact>,
    /// Code, by its folder.
    zips: BTreeMap<PathBuf, Artifact>,
}

impl Packer<'_> {
    fn template(&mut self, template: &Template, depth: usize) -> anyhow::Result<Artifact> {
        if depth > MAX_TEMPLATE_DEPTH {
            let what = format!("`{}` nests templates too deep", template.path.display());
            return Err(Usage(what).into());
        }
        let mut document = template.document.clone();
        let mut places: Vec<&mut Value> = Vec::new();
        if let Some(code) = document.pointer_mut("/Globals/Function/CodeUri") {
            let place = code.as_str().filter(|place| is_local(place)).map(str::to_owned);
            if let Some(place) = place {
                *code = self.serverless(template, &place)?;
            }
        }
        places.extend(
            document["Resources"].as_object_mut().into_iter().flatten().map(|(_, one)| one),
        );
        for resource in places {
            self.resource(resource, template, depth)?;
        }
        let bytes = serde_json::to_vec_pretty(&document).context("write the template")?;
        let stem = template.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("template");
        Ok(artifact(stem, "json", bytes))
    }

    /// Puts the bucket's addresses where a resource names files of this machine.
    fn resource(&mut self, one: &mut Value, of: &Template, depth: usize) -> anyhow::Result<()> {
        let kind = one["Type"].as_str().unwrap_or_default().to_owned();
        let property = match kind.as_str() {
            "AWS::Serverless::Function" => "CodeUri",
            "AWS::Lambda::Function" => "Code",
            "AWS::CloudFormation::Stack" => "TemplateURL",
            "AWS::Serverless::Application" => "Location",
            _ => return Ok(()),
        };
        let Some(value) = one["Properties"].get_mut(property) else { return Ok(()) };
        let Some(place) = value.as_str().filter(|place| is_local(place)).map(str::to_owned) else {
            return Ok(());
        };
        *value = match property {
            "CodeUri" => self.serverless(of, &place)?,
            "Code" => {
                let key = self.code(of, &place)?;
                serde_json::json!({"S3Bucket": self.bucket.name, "S3Key": key})
            }
            _ => {
                let nested = Template::read(&of.folder().join(place))?;
                let nested = self.template(&nested, depth + 1)?;
                let url = format!("{}/{}", self.bucket.url, nested.key);
                self.artifacts.insert(nested.key.clone(), nested);
                url.into()
            }
        };
        Ok(())
    }

    fn serverless(&mut self, of: &Template, place: &str) -> anyhow::Result<Value> {
        let key = self.code(of, place)?;
        Ok(format!("s3://{}/{key}", self.bucket.name).into())
    }

    /// The key of the zip with the code of this folder.
    fn code(&mut self, of: &Template, place: &str) -> anyhow::Result<String> {
        let folder = code_folder(place, of.folder(), self.target);
        if let Some(known) = self.zips.get(&folder) {
            return Ok(known.key.clone());
        }
        if !folder.is_dir() {
            let what = format!("`{place}` was not built: there is no {}", folder.display());
            return Err(Usage(what).into());
        }
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or("code").to_owned();
        let bytes = zip(&folder).with_context(|| format!("pack {}", folder.display()))?;
        let artifact = artifact(&name, "zip", bytes);
        let key = artifact.key.clone();
        self.zips.insert(folder, artifact);
        Ok(key)
    }
}

fn artifact(name: &str, ending: &str, bytes: Vec<u8>) -> Artifact {
    let key = format!("{FOLDER}/{name}/{}.{ending}", hash(&bytes));
    Artifact { name: name.to_owned(), key, bytes }
}

fn hash(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        let _infallible = write!(text, "{byte:02x}");
    }
    text.truncate(HASH_CHARS);
    text
}

/// A folder as a zip that depends on nothing but what is in it.
///
/// # Errors
/// Where the folder is empty or cannot be read.
pub fn zip(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let mut files = Vec::new();
    walk(folder, &mut files)?;
    files.sort();
    anyhow::ensure!(!files.is_empty(), "the folder is empty");
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for file in files {
        let name = file.strip_prefix(folder)?.to_str().context("a file's name is no text")?;
        let mode = if is_executable(&file)? { 0o755 } else { 0o644 };
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(9))
            .last_modified_time(DateTime::DEFAULT)
            .unix_permissions(mode);
        zip.start_file(name, options)?;
        zip.write_all(&std::fs::read(&file)?)?;
    }
    Ok(zip.finish()?.into_inner())
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn is_executable(file: &Path) -> std::io::Result<bool> {
    Ok(std::fs::metadata(file)?.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::super::template::tests::template;
    use super::*;

    fn build(target: &Path, name: &str, content: &str) {
        let folder = target.join("lambda").join(name);
        std::fs::create_dir_all(&folder).expect("creates");
        std::fs::write(folder.join("bootstrap"), content).expect("writes");
    }

    fn package(root: &Path) -> anyhow::Result<Package> {
        let bucket = Bucket { name: "b".into(), url: "https://b.s3".into() };
        let template = Template { path: root.join("template.yaml"), ..template() };
        Package::of(&template, &root.join("built"), &bucket)
    }

    #[test]
    fn equal_code_gives_an_equal_package() {
        let root = tempfile::tempdir().expect("a folder");
        let target = root.path().join("built");
        std::fs::create_dir_all(root.path().join("infra/aws")).expect("creates");
        std::fs::write(root.path().join("infra/aws/database.yaml"), "Resources: {}")
            .expect("writes");
        build(&target, "fluxus-core", "core");
        let missing = package(root.path()).expect_err("not built").to_string();
        assert!(missing.contains("`./target/lambda/fluxling-http/` was not built"), "{missing}");
        build(&target, "fluxling-http", "http");
        let first = package(root.path()).expect("a package");
        build(&target, "fluxling-http", "http");
        let second = package(root.path()).expect("a package");
        assert_eq!(first.artifacts, second.artifacts);
        assert_eq!(first.release, second.release);
        build(&target, "fluxling-http", "https");
        let third = package(root.path()).expect("a package");
        assert_ne!(first.release, third.release);
        let names: Vec<_> = third.artifacts.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["template", "database", "fluxling-http", "fluxus-core"]);
    }

    #[test]
    fn the_template_names_what_is_in_the_bucket() {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(root.path().join("infra/aws")).expect("creates");
        std::fs::write(root.path().join("infra/aws/database.yaml"), "Resources: {}")
            .expect("writes");
        for name in ["fluxus-core", "fluxling-http"] {
            build(&root.path().join("built"), name, name);
        }
        let package = package(root.path()).expect("a package");
        let template: Value = serde_json::from_slice(&package.template.bytes).expect("JSON");
        let resources = &template["Resources"];
        let keys: Vec<_> = package.artifacts.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(
            resources["CoreFunction"]["Properties"]["CodeUri"],
            format!("s3://b/{}", keys[3])
        );
        assert_eq!(
            resources["Database"]["Properties"]["TemplateURL"],
            format!("https://b.s3/{}", keys[1])
        );
        assert_eq!(resources["Elsewhere"]["Properties"]["CodeUri"], "s3://bucket/key");
    }
}
