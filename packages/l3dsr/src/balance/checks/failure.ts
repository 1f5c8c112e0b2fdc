/** Why a check failed, and the sentence for it. Pure. */
import { errnoName, errnoText } from "@l3dsr/linux";

/** What did not finish: a stage of the real server's answer, or the operator's command. */
export type Stage = "connect" | "tls" | "answer" | "command";

export type CheckFailure =
	/** A RST or a "port unreachable" from the VIP: the path works, but nothing listens on the port. */
	| { readonly kind: "refused" }
	/** The real server answered from its own address: it has no rule for the code, or the code was lost on the path. */
	| { readonly kind: "answered-by-real"; readonly how: "accepted" | "refused" | "datagram" | "echo" }
	| { readonly kind: "answered-by-other"; readonly from: string }
	/** No answer within the timeout. */
	| { readonly kind: "timeout"; readonly stage: Stage }
	/** The connection was established but closed before the answer. */
	| { readonly kind: "closed"; readonly stage: Stage }
	/** An ICMP error says that the real server cannot be reached. */
	| { readonly kind: "unreachable"; readonly errno: number }
	| { readonly kind: "icmp-error"; readonly from: string; readonly type: number; readonly code: number }
	/** This host could not send the question. */
	| { readonly kind: "unsent"; readonly errno: number }
	| { readonly kind: "status"; readonly status: number; readonly expected: readonly number[] }
	| { readonly kind: "not-http"; readonly detail: string }
	/** The certificate does not match the name or is not trusted. `code` is OpenSSL's or Node's. */
	| { readonly kind: "certificate"; readonly code: string; readonly detail: string }
	| { readonly kind: "tls"; readonly detail: string }
	/** udp: the datagram does not begin as expected. */
	| { readonly kind: "wrong-answer" }
	| { readonly kind: "exit"; readonly status: number; readonly output: string }
	| { readonly kind: "killed"; readonly signal: string; readonly output: string }
	/** exec: the program could not be started. */
	| { readonly kind: "not-started"; readonly detail: string };

const STAGES: Readonly<Record<Stage, string>> = {
	connect: "",
	tls: " during the TLS handshake",
	answer: " after the connection",
	command: " of the command",
};

/** A UDP service bound to all addresses answers from the source address of the route, not from the VIP. */
const BY_REAL = {
	accepted: "answered by the real address: no rule there",
	refused: "refused by the real address: no rule there",
	datagram: "answered by the real address: no rule there, or the service is not bound to the VIP",
	echo: "answered by the real address: no rule there",
} as const;

/** One line, such as `refused by the VIP`. Text from outside is not escaped here, but where it is printed. */
export function failureText(failure: CheckFailure): string {
	switch (failure.kind) {
		case "refused":
			return "refused by the VIP";
		case "answered-by-real":
			return BY_REAL[failure.how];
		case "answered-by-other":
			return `answered by ${failure.from}, neither the VIP nor the real address`;
		case "timeout":
			return `timeout${STAGES[failure.stage]}`;
		case "closed":
			return failure.stage === "tls"
				? "connection closed during the TLS handshake"
				: "connection closed before the answer";
		case "unreachable":
			return `cannot be reached: ${errorText(failure.errno)}`;
		case "icmp-error":
			return `${failure.from} answered with an ICMP error of type ${failure.type}, code ${failure.code}`;
		case "unsent":
			return `this host could not send: ${errorText(failure.errno)}`;
		case "status":
			return `answered with status ${failure.status}, expected ${failure.expected.join(" or ")}`;
		case "not-http":
			return `the answer is not HTTP: ${firstLine(failure.detail)}`;
		case "certificate":
			return `certificate refused: ${firstLine(failure.detail)} (${failure.code})`;
		case "tls":
			return `TLS failed: ${firstLine(failure.detail)}`;
		case "wrong-answer":
			return "the answer does not begin as expected";
		case "exit":
			return `exit status ${failure.status}${outputText(failure.output)}`;
		case "killed":
			return `ended by ${failure.signal}${outputText(failure.output)}`;
		case "not-started":
			return `could not be started: ${firstLine(failure.detail)}`;
	}
}

function errorText(errno: number): string {
	return `${errnoName(errno)} (${errnoText(errno)})`;
}

/** The first line that the program printed. */
function outputText(output: string): string {
	const line = firstLine(output);
	return line === "" ? "" : `: ${line}`;
}

function firstLine(text: string): string {
	return text.trim().split("\n")[0] ?? "";
}
