// Command controlplane is a whole Kubernetes in one binary.
//
// The first argument (or the name it is called by) chooses the component: etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler, kubelet, kube-proxy, coredns or kubectl. The rest of
// the arguments are that component's own. Each component is the published command, unchanged:
// nothing is configured here, so that what the tests run against is what clusters run.
//
// One binary, because the components share nearly all of their code: it compiles and links in a
// fraction of the time of eight, and needs a fraction of the disk.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	_ "time/tzdata" // CronJob time zones

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var components = map[string]func(){
	"etcd":                    func() { etcdmain.Main(os.Args) },
	"kube-apiserver":          func() { serve(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() { serve(controllers.NewControllerManagerCommand()) },
	"kube-scheduler":          func() { serve(scheduler.NewSchedulerCommand()) },
	"kubelet":                 func() { serve(kubelet.NewKubeletCommand(context.Background())) },
	"kube-proxy":              func() { serve(proxy.NewProxyCommand()) },
	"coredns":                 coredns,
	"kubectl":                 runKubectl,
}

func main() {
	name := filepath.Base(os.Args[0])
	if _, known := components[name]; !known && len(os.Args) > 1 {
		// The components read os.Args themselves, so they must see it as if called by name.
		os.Args = os.Args[1:]
		name = os.Args[0]
	}
	run, known := components[name]
	if !known {
		fmt.Fprintln(os.Stderr, "usage: controlplane COMPONENT [ARGUMENT]...")
		for known := range components {
			fmt.Fprintln(os.Stderr, "  "+known)
		}
		os.Exit(2)
	}
	run()
}

func serve(command *cobra.Command) {
	os.Exit(cli.Run(command))
}

func runKubectl() {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}

// coredns serves the Corefile named by its only argument. CoreDNS's own main is not used: it
// registers flags globally, in the way of the other components.
func coredns() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: controlplane coredns COREFILE")
		os.Exit(2)
	}
	dnsserver.Quiet = true
	caddy.Quiet = true
	caddy.TrapSignals()
	text, err := os.ReadFile(os.Args[1])
	if err == nil {
		var instance *caddy.Instance
		instance, err = caddy.Start(caddy.CaddyfileInput{
			Contents: text, Filepath: os.Args[1], ServerTypeName: "dns",
		})
		if err == nil {
			instance.Wait()
			return
		}
	}
	fmt.Fprintln(os.Stderr, "coredns:", err)
	os.Exit(1)
}
