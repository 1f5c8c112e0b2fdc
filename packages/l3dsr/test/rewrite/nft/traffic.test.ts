import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { enterNetns } from "../../../../../test/support/netns.ts";
import { NftDatapath } from "../../../src/rewrite/nft/kernel/nft.ts";
import { testOffloadStates } from "../../packets/offload-states.ts";

enterNetns();
failOnLeaks();

const open = (): NftDatapath => new NftDatapath();

testOffloadStates("nft", open);
testOffloadStates("nft", open, { table: "mangle", chain: "INPUT" });
