export { connectToListener, startBroker, stopBroker, USUAL } from "./broker";
export { default as BrokerFoot } from "./BrokerFoot.svelte";
export { default as BrokerPanel } from "./BrokerPanel.svelte";
