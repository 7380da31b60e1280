"""The structs of Docker 28's API that templates see, in the notation of cli/template/structs.py.

https://pkg.go.dev/github.com/docker/docker@v28.2.2+incompatible/api/types
"""

from minirun.cli.template import Structs

_CONTAINER = {
    "container": """ID=Id, Created, Path string; Args []string; State *State;
        Image, ResolvConfPath, HostnamePath, HostsPath, LogPath, Name string; RestartCount int;
        Driver, Platform string; ImageManifestDescriptor *any; MountLabel, ProcessLabel, AppArmorProfile string;
        ExecIDs []string; HostConfig *HostConfig; GraphDriver DriverData; SizeRw, SizeRootFs *int;
        Mounts []MountPoint; Config *Config; NetworkSettings *NetworkSettings""",
    "State": """Status string; Running, Paused, Restarting, OOMKilled, Dead bool; Pid, ExitCode int;
        Error, StartedAt, FinishedAt string; Health *Health""",
    "Health": "Status string; FailingStreak int; Log []*HealthcheckResult",
    "HealthcheckResult": "Start, End time; ExitCode int; Output string",
    "DriverData": "Data map[string]string; Name string",
    "MountPoint": "Type, Name, Source, Destination, Driver, Mode string; RW bool; Propagation string",
    "Config": """Hostname, Domainname, User string; AttachStdin, AttachStdout, AttachStderr bool;
        ExposedPorts map[string]Empty; Tty, OpenStdin, StdinOnce bool; Env, Cmd []string;
        Healthcheck *HealthcheckConfig; ArgsEscaped bool; Image string; Volumes map[string]Empty; WorkingDir string;
        Entrypoint []string; NetworkDisabled bool; MacAddress string; OnBuild []string; Labels map[string]string;
        StopSignal string; StopTimeout *int; Shell []string""",
    "HealthcheckConfig": "Test []string; Interval, Timeout, StartPeriod, StartInterval duration; Retries int",
    "Empty": "",
}
_HOST_CONFIG = {
    "HostConfig": """Binds []string; ContainerIDFile string; LogConfig LogConfig; NetworkMode string;
        PortBindings map[string][]PortBinding; RestartPolicy RestartPolicy; AutoRemove bool; VolumeDriver string;
        VolumesFrom []string; ConsoleSize [2]int; Annotations map[string]string; CapAdd, CapDrop []string;
        CgroupnsMode string; DNS=Dns, DNSOptions=DnsOptions, DNSSearch=DnsSearch, ExtraHosts, GroupAdd []string;
        IpcMode, Cgroup string; Links []string; OomScoreAdj int; PidMode string;
        Privileged, PublishAllPorts, ReadonlyRootfs bool; SecurityOpt []string;
        StorageOpt, Tmpfs map[string]string; UTSMode, UsernsMode string; ShmSize int; Sysctls map[string]string;
        Runtime, Isolation string; Resources; Mounts []Mount; MaskedPaths, ReadonlyPaths []string; Init *bool""",
    "Resources": """CPUShares=CpuShares, Memory, NanoCPUs=NanoCpus int; CgroupParent string; BlkioWeight int;
        BlkioWeightDevice []WeightDevice;
        BlkioDeviceReadBps, BlkioDeviceWriteBps, BlkioDeviceReadIOps, BlkioDeviceWriteIOps []ThrottleDevice;
        CPUPeriod=CpuPeriod, CPUQuota=CpuQuota int;
        CPURealtimePeriod=CpuRealtimePeriod, CPURealtimeRuntime=CpuRealtimeRuntime int;
        CpusetCpus, CpusetMems string; Devices []DeviceMapping; DeviceCgroupRules []string; DeviceRequests []any;
        KernelMemory, KernelMemoryTCP, MemoryReservation, MemorySwap int; MemorySwappiness *int;
        OomKillDisable *bool; PidsLimit *int; Ulimits []Ulimit; CPUCount=CpuCount, CPUPercent=CpuPercent int;
        IOMaximumIOps, IOMaximumBandwidth int""",
    "LogConfig": "Type string; Config map[string]string",
    "PortBinding": "HostIP=HostIp, HostPort string",
    "RestartPolicy": "Name string; MaximumRetryCount int",
    "WeightDevice": "Path string; Weight int",
    "ThrottleDevice": "Path string; Rate int",
    "DeviceMapping": "PathOnHost, PathInContainer, CgroupPermissions string",
    "Ulimit": "Name string; Hard, Soft int",
    "Mount": """Type, Source, Target string; ReadOnly bool; Consistency string; BindOptions *BindOptions;
        VolumeOptions *VolumeOptions; ImageOptions *ImageOptions; TmpfsOptions *TmpfsOptions; ClusterOptions *any""",
    "BindOptions": """Propagation string; NonRecursive, CreateMountpoint bool;
        ReadOnlyNonRecursive, ReadOnlyForceRecursive bool""",
    "VolumeOptions": "NoCopy bool; Labels map[string]string; Subpath string; DriverConfig *DriverConfig",
    "DriverConfig": "Name string; Options map[string]string",
    "ImageOptions": "Subpath string",
    "TmpfsOptions": "SizeBytes, Mode int; Options [][]string",
}
_NETWORK = {
    "NetworkSettings": "NetworkSettingsBase; DefaultNetworkSettings; Networks map[string]*EndpointSettings",
    "NetworkSettingsBase": """Bridge, SandboxID, SandboxKey string; Ports map[string][]PortBinding; HairpinMode bool;
        LinkLocalIPv6Address string; LinkLocalIPv6PrefixLen int; SecondaryIPAddresses, SecondaryIPv6Addresses []any""",
    "DefaultNetworkSettings": """EndpointID, Gateway, GlobalIPv6Address string; GlobalIPv6PrefixLen int;
        IPAddress string; IPPrefixLen int; IPv6Gateway, MacAddress string""",
    "EndpointSettings": """IPAMConfig *EndpointIPAMConfig; Links, Aliases []string; MacAddress string;
        DriverOpts map[string]string; GwPriority int; NetworkID, EndpointID, Gateway, IPAddress string;
        IPPrefixLen int; IPv6Gateway, GlobalIPv6Address string; GlobalIPv6PrefixLen int; DNSNames []string""",
    "EndpointIPAMConfig": "IPv4Address, IPv6Address string; LinkLocalIPs []string",
    "network": """Name, ID=Id string; Created time; Scope, Driver string; EnableIPv4, EnableIPv6 bool; IPAM IPAM;
        Internal, Attachable, Ingress bool; ConfigFrom ConfigReference; ConfigOnly bool;
        Containers map[string]EndpointResource; Options, Labels map[string]string; Peers []any;
        Services map[string]any""",
    "IPAM": "Driver string; Options map[string]string; Config []IPAMConfig",
    "IPAMConfig": "Subnet, IPRange, Gateway string; AuxAddress=AuxiliaryAddresses map[string]string",
    "ConfigReference": "Network string",
    "EndpointResource": "Name, EndpointID, MacAddress, IPv4Address, IPv6Address string",
}
_OTHERS = {
    "image": """ID=Id string; RepoTags, RepoDigests []string; Parent, Comment, Created, Container string;
        ContainerConfig *Config; DockerVersion, Author string; Config *ImageConfig;
        Architecture, Variant, Os, OsVersion string; Size, VirtualSize int; GraphDriver DriverData; RootFS RootFS;
        Metadata Metadata; Descriptor *any; Manifests []any""",
    "ImageConfig": "OCIConfig; OCIConfigExt",
    "OCIConfig": """User string; ExposedPorts map[string]Empty; Env, Entrypoint, Cmd []string;
        Volumes map[string]Empty; WorkingDir string; Labels map[string]string; StopSignal string; ArgsEscaped bool""",
    "OCIConfigExt": "Healthcheck *HealthcheckConfig; OnBuild, Shell []string",
    "RootFS": "Type string; Layers []string",
    "Metadata": "LastTagTime time",
    "volume": """ClusterVolume *any; CreatedAt, Driver string; Labels map[string]string; Mountpoint, Name string;
        Options map[string]string; Scope string; Status map[string]any; UsageData *UsageData""",
    "UsageData": "Size, RefCount int",
    "event": """Status=status, ID=id, From=from, Type, Action string; Actor Actor; Scope=scope string;
        Time=time, TimeNano=timeNano int""",
    "Actor": "ID string; Attributes map[string]string",
}
# Of these only what minirun can tell: a template that asks for more is refused.
_SYSTEM = {
    "info": """ID string; Containers, ContainersRunning, ContainersPaused, ContainersStopped, Images int; Driver string;
        DriverStatus [][2]string; Plugins Plugins; MemoryLimit, SwapLimit, CPUCfsPeriod=CpuCfsPeriod,
        CPUCfsQuota=CpuCfsQuota, CPUShares, CPUSet, PidsLimit, IPv4Forwarding, Debug bool; NFd int;
        OomKillDisable bool; NGoroutines int; SystemTime, LoggingDriver, CgroupDriver, CgroupVersion string;
        NEventsListener int; KernelVersion, OperatingSystem, OSVersion, OSType, Architecture, IndexServerAddress string;
        RegistryConfig *RegistryConfig; NCPU, MemTotal int; GenericResources []any; DockerRootDir string;
        HTTPProxy=HttpProxy, HTTPSProxy=HttpsProxy, NoProxy, Name string; Labels []string; ExperimentalBuild bool;
        ServerVersion string; Runtimes map[string]Runtime; DefaultRuntime string; Swarm Swarm; LiveRestoreEnabled bool;
        Isolation, InitBinary string; ContainerdCommit, RuncCommit, InitCommit Commit; SecurityOptions []string;
        DefaultAddressPools []any; FirewallBackend *FirewallInfo; CDISpecDirs []string;
        DiscoveredDevices []any; Warnings []string; ClientInfo *ClientInfo""",
    "RegistryConfig": """IndexConfigs map[string]*IndexInfo; InsecureRegistryCIDRs, Mirrors []string""",
    "IndexInfo": "Name string; Mirrors []string; Secure, Official bool",
    "Runtime": "Path=path string",
    "Commit": "ID string",
    "FirewallInfo": "Driver string",
    "Plugins": "Volume, Network, Authorization, Log []string",
    "Swarm": "NodeID, NodeAddr, LocalNodeState string; ControlAvailable bool; Error string; RemoteManagers []any",
    "ClientInfo": "Debug bool; Version, Os, Arch, Context string; Plugins []any; Warnings []string",
    "version": "Client Client; Server *Server",
    "Client": """Version, APIVersion=ApiVersion, DefaultAPIVersion, GitCommit, GoVersion, Os, Arch string;
        BuildTime, Context string""",
    "Server": """Platform Platform; Components []Component; Version, APIVersion=ApiVersion, MinAPIVersion string;
        GitCommit, GoVersion, Os, Arch, KernelVersion string; Experimental bool; BuildTime string""",
    "Platform": "Name string",
    "Component": "Name, Version string; Details map[string]string",
}
DOCKER_STRUCTS = Structs({**_CONTAINER, **_HOST_CONFIG, **_NETWORK, **_OTHERS, **_SYSTEM})
