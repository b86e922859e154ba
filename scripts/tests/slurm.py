"""A real Slurm on loopback: one controller, several nodes, all this machine. It proves semantics, not speed."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")

CONFIG = """ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld
SlurmdLogFile={folder}/log/slurmd-%n
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmdParameters=config_overrides
SlurmctldParameters=idle_on_node_suspend
SlurmdTimeout=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=2,batch_sched_delay=0
SelectType=select/linear
InactiveLimit=0
KillWait=2
{nodes}
PartitionName=all Nodes={names} Default=YES MaxTime=INFINITE State=UP
"""


def why_not():
    """Why no Slurm can be started here; "" if it can."""
    absent = [name for name in PROGRAMS if not find(name)]
    if absent:
        return f"{', '.join(absent)} absent: scripts/setup slurm"
    return "" if os.geteuid() == 0 else "Slurm's daemons need root"


def find(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Cluster:
    """Daemons in the foreground, as children of ours, so that stop() ends these and no others."""

    def __init__(self, folder, count=4):
        self.folder, self.names, self.children = Path(folder), [f"n{i}" for i in range(1, count + 1)], {}
        for name in ("log", "state", "spool"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        host, ports = socket.gethostname().split(".")[0], free_ports(count + 1)
        nodes = "\n".join(f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=1000 State=UNKNOWN"
                          for name, port in zip(self.names, ports[1:]))
        (self.folder / "slurm.conf").write_text(CONFIG.format(host=host, folder=self.folder, ports=ports, nodes=nodes,
                                                              names=",".join(self.names)))
        self.environment = {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), "USER": "root"}
        (self.folder / "munge.key").write_bytes(os.urandom(1024))
        (self.folder / "munge.key").chmod(0o400)

    def start(self):
        munge = [f"--{key}={self.folder}/munge.{key.split('-')[0]}" for key in ("key-file", "socket", "pid-file", "log-file", "seed-file")]
        self.spawn("munged", "--force", "--foreground", *munge)
        self.until(lambda: (self.folder / "munge.socket").exists(), "munged")
        self.spawn("slurmctld", "-D")
        for name in self.names:
            self.start_node(name)
        self.until(lambda: self.run("sinfo", "--noheader", "--Node", "--format=%T").split() == ["idle"] * len(self.names), "nodes")

    def start_node(self, name):
        (self.folder / "spool" / name).mkdir(exist_ok=True)
        self.spawn("slurmd", "-D", "-N", name, key=name)

    def spawn(self, program, *words, key=None):
        with open(self.folder / "log" / f"said-{key or program}", "ab") as said:
            self.children[key or program] = subprocess.Popen([find(program), *words], env=self.environment, stdout=said,
                                                             stderr=said, stdin=subprocess.DEVNULL, start_new_session=True)

    def run(self, *words):
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60)
        return done.stdout

    def until(self, true, what, seconds=30):
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"{what}: not within {seconds} s; logs in {self.folder}/log"
            time.sleep(0.2)

    def batch_processes(self):
        """node -> (pid of the slurmstepd, pid of its batch script) of what runs now, by the environment of each."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environment = dict(w.split("=", 1) for w in (entry / "environ").read_text(errors="replace").split("\0") if "=" in w)
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if environment.get("SLURM_CONF") == self.environment["SLURM_CONF"] and "SLURM_ARRAY_TASK_ID" in environment \
                        and "stepd" in (Path("/proc") / str(parent) / "comm").read_text():
                    found[environment["SLURMD_NODENAME"]] = (parent, int(entry.name))
            except (OSError, ValueError, KeyError):
                pass  # it ended meanwhile, or is no process of ours
        return found

    def kill_node(self, name):
        """As a power cut: the node's daemon, the job's keeper and the job, at once."""
        victims = [self.children[name].pid, *self.batch_processes().get(name, ())]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        self.children.pop(name).wait()

    def stop(self):
        for pids in self.batch_processes().values():
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        for child in reversed(self.children.values()):
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
