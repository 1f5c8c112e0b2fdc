/** Lets frames that are not IP arrive on an interface: `live-frames-sender.ts INTERFACE COUNT`. */
import { Program } from "../../src/bpf/program.ts";
import { sendLiveFrames } from "../../src/bpf/test-run.ts";
import { XDP_MD } from "../../src/sys/bpf.ts";
import { interfaceByName } from "../../src/sys/interface.ts";
import { verdictSpec, XDP_PASS } from "./programs.ts";

const [name = "", count = ""] = process.argv.slice(2);
using pass = Program.load(verdictSpec("xdp", XDP_PASS, "t_sender"));
const data = new Uint8Array(64).fill(0xa5);
const context = XDP_MD.encode({ data_end: data.length, ingress_ifindex: interfaceByName(name).index });
sendLiveFrames(pass, { data, context, repeat: Number(count) });
