"""The artifacts of the stand-in for W&B's server: their versions, and who made and used them."""

from dataclasses import dataclass, field

PROJECT = {'id': 'p', 'internalId': '1', 'name': 'vggres', 'entity': {'name': 'me'}}


@dataclass
class Version:
    """A version of an artifact.

    Attributes:
        id: its number, from 1.
        name: of the artifact.
        kind: its type.
        digest: of its files, as the client says.
        by: the id of the run that logged it.
        aliases: names of this version; that of another is taken away from it.
        is_whole: whether the client has said that all files are there.
        files: their content, by name.
        used_by: the ids of the runs that have said that they use it.
    """

    id: str
    name: str
    kind: str
    digest: str
    by: str
    aliases: list = field(default_factory=list)
    is_whole: bool = False
    files: dict = field(default_factory=dict)
    used_by: list = field(default_factory=list)


class Artifacts:
    """What the server has received: a version is the same where its files are the same."""

    def __init__(self):
        self.versions = []

    def named(self, text):
        """The version that 'name:alias' means, or None."""
        name, _, alias = text.partition(':')
        found = [each for each in self.versions if each.name == name and alias in each.aliases]
        return found[-1] if found else None

    def answer(self, name, variables):
        """The data that a query about artifacts gets; None where it is none of them."""
        given = variables.get('input', variables)
        if name == 'ArtifactType':
            found = self.named(given['name'])
            kind = found and {'artifactType': {'name': found.kind}}
            return {'project': {'artifact': kind}}
        if name == 'CreateArtifact':
            made = self._made(given)
            state = 'COMMITTED' if made.is_whole else 'PENDING'
            of = {'id': made.id, 'state': state, 'artifactSequence': {'latestArtifact': None}}
            return {'createArtifact': {'artifact': of}}
        if name == 'CreateArtifactManifest':
            file = {'id': 'f', **_upload(given['artifactID'], given['name'])}
            return {'createArtifactManifest': {'artifactManifest': {'id': 'm', 'file': file}}}
        if name == 'CreateArtifactFiles':
            asked = given['artifactFiles']
            files = [
                {
                    **_upload(each['artifactID'], each['name']),
                    'artifact': {'id': each['artifactID']},
                    'storagePath': each['name'],
                    'uploadMultipartUrls': None,
                }
                for each in asked
            ]
            return {'createArtifactFiles': {'files': {'edges': [{'node': each} for each in files]}}}
        if name == 'CommitArtifact':
            version = self._of(given['artifactID'])
            version.is_whole = True
            of = {'id': version.id, 'digest': version.digest}
            return {'commitArtifact': {'artifact': of}}
        if name == 'UseArtifact':
            self._of(given['artifactID']).used_by.append(given['runName'])
            return {'useArtifact': {'artifact': {'id': given['artifactID']}}}
        if name == 'ArtifactByID':
            return {'artifact': _described(self._of(given['id']))}
        if name == 'ArtifactMembershipByName':
            found = self.named(given['name'])
            return {'project': {'artifactCollectionMembership': found and _membership(found)}}
        return None

    def _of(self, identity):
        return self.versions[int(identity) - 1]

    def _made(self, given):
        """The version with the same files, or a new one; the aliases move to it."""
        name, digest = given['artifactCollectionName'], given['digest']
        same = [each for each in self.versions if (each.name, each.digest) == (name, digest)]
        if not same:
            number = str(len(self.versions) + 1)
            kind = given['artifactTypeName']
            same = [Version(number, name, kind, digest, given['runName'])]
            self.versions += same
        (version,) = same
        for alias in [each['alias'] for each in given['aliases']]:
            for each in self.versions:
                if each.name == name and alias in each.aliases:
                    each.aliases.remove(alias)
            version.aliases.append(alias)
        return version

    def take(self, path, content):
        """Takes a file that comes to '<id>/<name>'."""
        identity, _, name = path.partition('/')
        self._of(identity).files[name] = content


def _upload(identity, name):
    return {'uploadUrl': f'/artifacts/{identity}/{name}', 'uploadHeaders': []}


def _described(version):
    return {
        '__typename': 'Artifact',
        'id': version.id,
        'artifactSequence': {
            '__typename': 'ArtifactSequence',
            'name': version.name,
            'project': PROJECT,
        },
        'versionIndex': 0,
        'artifactType': {'name': version.kind},
        'description': None,
        'metadata': None,
        'ttlDurationSeconds': -2,
        'ttlIsInherited': True,
        'tags': [],
        'historyStep': None,
        'state': 'COMMITTED' if version.is_whole else 'PENDING',
        'size': sum(map(len, version.files.values())),
        'digest': version.digest,
        'commitHash': version.digest,
        'fileCount': len(version.files),
        'createdAt': '2026-01-01T00:00:00Z',
        'updatedAt': None,
        'aliases': [_alias(version, each) for each in version.aliases],
    }


def _alias(version, alias):
    of = {'__typename': 'ArtifactSequence', 'name': version.name, 'project': PROJECT}
    return {'__typename': 'ArtifactAlias', 'id': 'a', 'alias': alias, 'artifactCollection': of}


def _membership(version):
    return {
        '__typename': 'ArtifactCollectionMembership',
        'id': version.id,
        'versionIndex': 0,
        'createdAt': '2026-01-01T00:00:00Z',
        'aliases': [_alias(version, each) for each in version.aliases],
        'artifactCollection': _alias(version, '')['artifactCollection'],
        'artifact': _described(version),
    }
