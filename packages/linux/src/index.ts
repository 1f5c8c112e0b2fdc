/**
 * The entry point of `@l3dsr/linux`: system calls, netlink, sockets and namespaces. It knows nothing of
 * L3DSR.
 */

export {
	CAPABILITIES,
	type CapabilityName,
	effectiveCapabilities,
	inInitialUserNamespace,
	ownsNetworkNamespace,
} from "./capability.ts";
export { possibleCpus } from "./cpu.ts";
export { type DatagramEvent, DatagramSocket } from "./datagram-socket.ts";
export { ERRNO, errnoName, errnoOfFileError, errnoText, fileErrorText } from "./errno.ts";
export { LinuxError, type LinuxErrorCode } from "./error.ts";
export { FileLock, type FileLockOptions } from "./file-lock.ts";
export { waitForGracePeriod } from "./grace-period.ts";
export { type IfIndex, ifIndexOf } from "./if-index.ts";
export { type FolderEvent, FolderWatcher } from "./inotify.ts";
export {
	decodeLinkMessage,
	IFINFOMSG,
	IFLA_XDP,
	interfaceByIndex,
	interfaceByName,
	listInterfaces,
	type NetInterface,
	RTM_GETLINK,
	RTM_SETLINK,
} from "./interface.ts";
export { IpSocket, type IpSocketOptions, SilentPort, sourceAddressFor } from "./ip-socket.ts";
export { type Decoded, type Encodable, type Fields, type FieldType, Layout } from "./layout.ts";
export {
	decodeLegacyTable,
	type LegacyChain,
	type LegacyExtension,
	type LegacyFamily,
	type LegacyHook,
	type LegacyRule,
	type LegacyTable,
	type LegacyTarget,
	listLegacyTables,
	readLegacyTable,
} from "./legacy-tables.ts";
export {
	addressOf,
	type CArgument,
	check,
	isLibcLoaded,
	libcFunction,
	SyscallError,
	syscall,
	viewOf,
} from "./libc.ts";
export { ListeningSocket, type UnixSocketOptions } from "./listening-socket.ts";
export { type MapOptions, MappedMemory } from "./mapped-memory.ts";
export { withMemoryLimitRaised } from "./memory-limit.ts";
export {
	createNamedNamespace,
	deleteNamedNamespace,
	listNamedNamespaces,
	namedNamespacePath,
	namespaceProcesses,
} from "./named-namespace.ts";
export { NamespaceLock } from "./namespace-lock.ts";
export {
	NETLINK_PROTOCOL,
	Netlink,
	type NetlinkMessage,
	NetlinkRefusal,
	type NetlinkRequest,
	NLM_F,
	type UnsolicitedMessage,
} from "./netlink.ts";
export {
	type Attributes,
	attribute,
	decodeAttributes,
	nestedAttribute,
	textAttribute,
	textValue,
	u32Attribute,
	u32Value,
} from "./netlink-attribute.ts";
export { NetlinkBatch } from "./netlink-batch.ts";
export { enterNetworkNamespace, NetworkNamespace } from "./network-namespace.ts";
export { forbidNewPrivileges } from "./new-privileges.ts";
export { driverOf, type Offloads, offloadsOf, setTransmitChecksums } from "./offload.ts";
export { type OutgoingFrame, PacketSocket, type PendingChecksum } from "./packet-socket.ts";
export { endAtOnce } from "./process-end.ts";
export {
	untilReadable,
	type WaitOptions,
	type WaitSignal,
	watchReadable,
	watchWritable,
} from "./readable.ts";
export {
	type AddressKey,
	addAddress,
	deleteAddress,
	type HeldAddress,
	listAddresses,
	type NewAddress,
	replaceAddress,
} from "./rtnetlink/address.ts";
export {
	addAlternativeName,
	changeLink,
	createLink,
	deleteAlternativeName,
	deleteLink,
	type LinkChange,
	type LinkSettings,
	type NewLink,
} from "./rtnetlink/link.ts";
export {
	type NetworkChange,
	type NetworkEvent,
	NetworkMonitor,
	type NetworkTopic,
} from "./rtnetlink/monitor.ts";
export {
	deleteNeighbour,
	listNeighbours,
	type Neighbour,
	type NeighbourKey,
	type NeighbourState,
	type NewNeighbour,
	replaceNeighbour,
	resolveNeighbour,
} from "./rtnetlink/neighbour.ts";
export type { IpPrefix, ScopeName } from "./rtnetlink/protocol.ts";
export {
	addRoute,
	deleteRoute,
	listLocalRoutes,
	listRoutes,
	lookUpRoute,
	type NewRoute,
	type NextHop,
	ROUTE_TABLE,
	type Route,
	type RouteFilter,
	type RouteProtocol,
	type RouteQuestion,
	type RouteType,
	replaceRoute,
} from "./rtnetlink/route.ts";
export {
	addRouteRule,
	deleteRouteRule,
	listRouteRules,
	type NewRouteRule,
	type RouteRule,
} from "./rtnetlink/rule.ts";
export { withSignalsHeld } from "./signal-mask.ts";
export { listIpv6OnlySockets, type WaitingSocket } from "./socket-diagnosis.ts";
export { type Connecting, StreamSocket } from "./stream-socket.ts";
export { hostName, isKernelAtLeast, kernelRelease } from "./uname.ts";
export { UnixDatagramSender } from "./unix-datagram.ts";
