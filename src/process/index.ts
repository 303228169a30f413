/** Child processes, and several processes for one program, as in Tornado's `process` module. Other parts of the library import from here. */
export { cpuCount, forkProcesses, taskId } from "./fork-processes.js";
export { CalledProcessError, Subprocess, type SubprocessOptions, type SubprocessStdio } from "./subprocess.js";

// For `net` and `testing`; not part of the library's face.
export { checkFlag, checkOptions, checkWhole, show } from "./arguments.js";
export { isSupervisor, listeningSockets } from "./inheritance.js";
