/** Makes frames that are not IP arrive on an interface: `live-frames-sender.ts INTERFACE COUNT`. */
import { interfaceByName } from "@l3dsr/linux";
import { XDP } from "../src/builder/context.ts";
import { Program } from "../src/program.ts";
import { sendLiveFrames } from "../src/test-run.ts";
import { verdictSpec, XDP_PASS } from "./programs.ts";

const [name = "", count = ""] = process.argv.slice(2);
using pass = Program.load(verdictSpec("xdp", XDP_PASS, "t_sender"));
const data = new Uint8Array(64).fill(0xa5);
const context = XDP.encode({ data_end: data.length, ingress_ifindex: interfaceByName(name).index });
sendLiveFrames(pass, { data, context, repeat: Number(count) });
