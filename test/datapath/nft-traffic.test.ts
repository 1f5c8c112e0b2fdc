import { NftDatapath } from "../../src/datapath/nft/nft.ts";
import { systemPrograms } from "../../src/host/process.ts";
import { failOnLeaks } from "../leak.ts";
import { enterNetns } from "../netns.ts";
import { testOffloadStates } from "../packets/offload-states.ts";

enterNetns();
failOnLeaks();

const open = (): NftDatapath => new NftDatapath(systemPrograms(process.env));

testOffloadStates("nft", open);
testOffloadStates("nft", open, { table: "mangle", chain: "INPUT" });
