/** An edit of the host's rules, as with iptables. */
import { RulesetEditor } from "../plan/ruleset-editor.ts";
import type { ObservedRule } from "../rewrite/datapath.ts";
import type { ObservedHost } from "./observe.ts";
import type { Target } from "./target.ts";

/** `edit` may be called more than once, with the latest observation; its errors are thrown before any change. */
export function editTarget(
	edit: (editor: RulesetEditor, rules: readonly ObservedRule[]) => Promise<void> | void,
): Target {
	return {
		scope: "rules",
		edit: true,
		async desired({ snapshot }: ObservedHost) {
			const editor = new RulesetEditor(snapshot.rules);
			await edit(editor, snapshot.rules);
			return { ruleset: editor.ruleset() };
		},
	};
}
