{{/*
What the operator may do with shards and their children, where it watches. Each rule says why it is
there; what is not here, it does not do. Its Lease is apart, in the release's namespace.

Server-side apply of an object that is not there yet wants "create" beside "patch".
*/}}
{{- define "corallite.rules" -}}
# The shards: they are watched, and never written.
- apiGroups: [corallite.dev]
  resources: [actorshards]
  verbs: [list, watch]
# What it thinks of a shard: the conditions and counts of its status.
- apiGroups: [corallite.dev]
  resources: [actorshards/status]
  verbs: [patch]
# Behaviors are in ConfigMaps that a spec names, whichever they are: their metadata is watched, their
# content read when a spec names them. What cells read is a ConfigMap that it writes.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
# A shard's authority and its certificate, watched by label. Before they are changed they are read once
# more, so that two operators at once do not make two authorities. Roles cannot be narrowed to labels:
# set watchNamespace where this is too much.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch, delete]
# The Services by which cells and clients find cells; the cells' identity, which has no right at all.
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [list, watch, create, patch, delete]
# Cells: which are there and ready; an annotation makes a node bring a changed configuration at once; a
# rollout deletes them one by one. The StatefulSet makes them, so there is no "create".
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch, delete]
# The StatefulSet of the cells.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [list, watch, create, patch, delete]
# How many cells may be evicted at once.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch, create, patch, delete]
# Who may connect to which port of a cell.
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [list, watch, create, patch, delete]
# Where the cells' metrics are; used only in clusters that have the type.
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors]
  verbs: [list, watch, create, patch, delete]
# What a person should hear, such as a behavior that does not compile.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}
