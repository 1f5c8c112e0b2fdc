/** Errors of the kernel as errors of this package: what was done to which object, why it failed, what to do next. */
import { ERRNO, errnoName, errnoText, NetlinkRefusal, SyscallError } from "@l3dsr/linux";
import { UnreadableError } from "./codec.ts";
import { type Command, describeCommand } from "./command.ts";
import { type Message, partAt } from "./encode.ts";
import { NftablesError } from "./error.ts";

export const CHANGING = "change the ruleset";

/** The error of a system call in `work`, or of an answer that cannot be read, as an NftablesError. */
export function translated<T>(doing: string, work: () => T): T {
	try {
		return work();
	} catch (error) {
		if (error instanceof UnreadableError) {
			throw new NftablesError("UNREADABLE", `${doing}: the kernel sent ${error.message}`, { cause: error });
		}
		if (error instanceof SyscallError) throw failure(error, doing);
		throw error;
	}
}

/** The error of the command that the kernel refused, or of the whole transaction. */
export function refusedCommand(
	error: SyscallError,
	commands: readonly Command[],
	messages: readonly Message[],
): NftablesError {
	if (error.errno === ERRNO.ERESTART) {
		return new NftablesError("CHANGED", `${CHANGING}: something else has changed it meanwhile`, {
			errno: errnoName(error.errno),
			hint: "read it again, and decide again",
			cause: error,
		});
	}
	const refusal = error instanceof NetlinkRefusal ? error : undefined;
	const [index, attributeOffset] = [refusal?.request, refusal?.attributeOffset];
	const message = index === undefined ? undefined : messages[index];
	const refused = message === undefined ? undefined : commands[message.command];
	if (message === undefined || refused === undefined) return failure(error, CHANGING);
	const part = attributeOffset === undefined ? undefined : partAt(message, attributeOffset);
	return failure(error, describeCommand(refused), { command: message.command, refused, part });
}

function failure(
	error: SyscallError,
	doing: string,
	{
		command,
		refused,
		part,
	}: { readonly command?: number; readonly refused?: Command; readonly part?: string | undefined } = {},
): NftablesError {
	const { explanation } = error;
	const errno = errnoName(error.errno);
	const options = { errno, explanation, command, cause: error };
	const said = explanation ?? (part === undefined ? undefined : `the kernel objects to ${part}`);
	const reason = `${errno} (${said ?? errnoText(error.errno)})`;
	const isOfOneChange = error instanceof NetlinkRefusal && error.request !== undefined;
	if (error.errno === ERRNO.EPERM) {
		return new NftablesError("PERMISSION", `${doing}: ${errno} (operation not permitted)`, {
			...options,
			hint: isOfOneChange
				? "the program that made the table owns it: only that one can change it"
				: "run it as root",
		});
	}
	// Netlink's answer if no subsystem with that number is registered.
	if (error.errno === ERRNO.EPROTONOSUPPORT || (error.errno === ERRNO.EINVAL && !isOfOneChange)) {
		return new NftablesError("UNSUPPORTED", `${doing}: the running kernel has no nf_tables: ${reason}`, {
			...options,
			hint: "load it with modprobe nf_tables, or boot a kernel that has CONFIG_NF_TABLES",
		});
	}
	const hint = refused === undefined ? CLOSED.get(error.errno) : nextStep(error.errno, refused);
	if (error.errno === ERRNO.EOPNOTSUPP || error.errno === ERRNO.EAFNOSUPPORT) {
		return new NftablesError("UNSUPPORTED", `${doing}: the running kernel does not support it: ${reason}`, {
			...options,
			hint,
		});
	}
	return new NftablesError("REFUSED", `${doing}: ${reason}`, { ...options, hint });
}

/** What to do about an error of the socket itself. */
const CLOSED: ReadonlyMap<number, string> = new Map([
	[ERRNO.EBADF, "the object was disposed of: make another one"],
	[ERRNO.ENOBUFS, "the kernel had no memory for its answer: read the ruleset, and change what is missing"],
]);

/** What to do about a refused command. */
function nextStep(errno: number, command: Command): string {
	const isNew = command.do.startsWith("add");
	const elements = command.do === "add elements";
	switch (errno) {
		case ERRNO.ENOENT:
			return isNew
				? "add what it refers to before it, in the same transaction; an expression may need another kernel"
				: "it is gone already: read the ruleset again";
		case ERRNO.EEXIST:
			return elements
				? "delete the elements that are the same or overlap before, in the same transaction"
				: "it is there with another definition: delete it before, in the same transaction";
		case ERRNO.EBUSY:
			return "delete the rules and elements that use it before, in the same transaction";
		case ERRNO.ENFILE:
			return "the set has as many elements as its size allows: delete some, or add a larger set";
		case ERRNO.EOPNOTSUPP:
			if (command.do === "add chain")
				return "delete a chain of this name before it gets another type, hook or priority";
	}
	return "printCommand writes it for nft -c -f, which may say more";
}
