/** The stores of the tour. */
import { defineStore, type } from '../../src/index.ts';

export interface CityKey {
  readonly country: string;
  readonly population: number;
  readonly name: string;
  readonly id: number;
  /** GeoNames' word for what it is: PPLC is a capital. Travels with the key: filtered without reading a value. */
  readonly feature: string;
}

export interface City {
  readonly latitude: number;
  readonly longitude: number;
  readonly admin: string;
}

/** By country, the largest first. */
export const cities = defineStore<CityKey, City, 'feature'>('cities', {
  key: ['country', { field: 'population', order: 'desc' }, 'name', 'id'],
  rideOn: ['feature'],
});

/** By name. */
export const names = defineStore<{ name: string; id: number }, { country: string; population: number }>('names', {
  key: ['name', 'id'],
});

/** All of the world by size: the position in it is the rank. */
export const sizes = defineStore<{ population: number; id: number }, { name: string; country: string }>('sizes', {
  key: [{ field: 'population', order: 'desc' }, 'id'],
});

/** Amounts that 64 clients move around. */
export const accounts = defineStore<number, { owner: string; amount: number }>('accounts');

/** Written by a process that will be killed: each transaction puts one entry here ... */
export const orders = defineStore<{ run: number; id: number }, { item: string; at: Date }>('orders', {
  key: ['run', 'id'],
});

/** ... and one here. */
export const receipts = defineStore<{ run: number; id: number }, { text: string }>('receipts', { key: ['run', 'id'] });

export type Status = 'packed' | 'sent' | 'delivered';
export interface Shipment {
  readonly to: string;
  readonly grams: number;
  readonly status: Status;
}

/** What 64 clients send and deliver, also to be asked by status. */
export const shipments = defineStore('shipments', {
  keySchema: type<{ id: number }>(),
  value: type<Shipment>(),
  key: ['id'],
  indexes: { byStatus: ['status', 'grams'] },
});
