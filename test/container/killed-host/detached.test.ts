import { killsHosts } from '../../support/kill-hosts.js'

killsHosts('detached', 70)
