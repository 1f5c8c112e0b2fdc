import { enterNetns } from "../../../test/support/netns.ts";
import { testReadme } from "../../../test/support/readme.ts";

enterNetns();
testReadme(new URL("../", import.meta.url));
